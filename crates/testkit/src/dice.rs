/// A small generator, so that a failing order can be played again.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed throws the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0).checked_rem(n).unwrap_or(0)
    }

    /// The items in another order.
    pub fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for n in (1..items.len()).rev() {
            let other = self.below(n.saturating_add(1));
            items.swap(n, other);
        }
        items
    }

    /// The items in another order, some of them repeatedly.
    pub fn shuffled_with_repeats<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let mut all = items.to_vec();
        for _ in 0..items.len() / 2 {
            all.extend(items.get(self.below(items.len())).cloned());
        }
        self.shuffled(all)
    }
}
