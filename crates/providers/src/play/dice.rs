/// A small generator of numbers (SplitMix64): the same seed gives the same numbers, on any machine and in
/// any version. It decides nothing that must be hard to guess.
#[derive(Debug, Clone)]
pub struct Dice(u64);

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// A generator that begins at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, which `label` tells from others of this one; this one does not move on.
    pub fn fork(&self, label: u64) -> Self {
        let mut fork = Self(self.0 ^ label.wrapping_mul(STEP).rotate_left(31));
        let seed = fork.number();
        Self(seed)
    }

    /// The next number, any of them.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `end`; 0 when `end` is 0. The bias of the remainder is below 2^-32 for every
    /// `end` that occurs here, which is nothing to a simulation.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first.saturating_add(self.below(last.saturating_sub(first).saturating_add(1)))
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < u64::from(percent)
    }

    /// One of `choices`; none when there are none.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> Option<&'c T> {
        let at = self.below(u64::try_from(choices.len()).unwrap_or(u64::MAX));
        choices.get(usize::try_from(at).unwrap_or(0))
    }

    /// Puts `items` into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let at = self.below(u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1));
            items.swap(usize::try_from(at).unwrap_or(0), last);
        }
    }

    /// A text of the form of a UUID of version 4.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.number(), self.number());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48 & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// A text of `length` hexadecimal digits.
    pub fn hex(&mut self, length: usize) -> String {
        let mut digits = String::with_capacity(length.saturating_add(16));
        while digits.len() < length {
            digits.push_str(&format!("{:016x}", self.number()));
        }
        digits.truncate(length);
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_generator() {
        let mut dice = Dice::new(1_234_567);
        assert_eq!(
            [dice.number(), dice.number(), dice.number()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn forks_differ_from_each_other_and_do_not_move_it_on() {
        let dice = Dice::new(7);
        let numbers: Vec<u64> = (0..100).map(|label| dice.fork(label).number()).collect();
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), 100);
        assert_eq!(dice.fork(3).number(), numbers[3]);
    }

    #[test]
    fn texts_have_their_forms() {
        let mut dice = Dice::new(1);
        for _ in 0..100 {
            let uuid = dice.uuid();
            assert_eq!(uuid.len(), 36);
            assert_eq!(&uuid[14..15], "4");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
        assert_eq!(dice.hex(24).len(), 24);
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items: Vec<u32> = (0..50).collect();
        Dice::new(3).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
