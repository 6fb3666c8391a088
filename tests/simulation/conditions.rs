use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use matchpurse_providers::play::Dice;

/// The one source of chance of a seed. Clones draw from the same.
#[derive(Clone)]
pub(crate) struct Chance(Arc<Mutex<Dice>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Dice::new(seed))))
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True in `permille` of a thousand cases.
    pub(crate) fn permille(&self, permille: u64) -> bool {
        self.dice().below(1000) < permille
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        usize::try_from(self.dice().below(u64::try_from(end).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    pub(crate) fn between(&self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    pub(crate) fn pick<T: Clone>(&self, choices: &[T]) -> Option<T> {
        choices.get(self.below(choices.len())).cloned()
    }
}

/// How a seed is: what there is of everything, and how often something goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    pub(crate) lives: u32,
    pub(crate) ingresses: usize,
    /// Of each worker, as many processes.
    pub(crate) workers: usize,
    pub(crate) relays: usize,
    /// Whether what the broker does not take goes into the spool.
    pub(crate) spool: bool,
    /// How many deliveries the provider has under way at once.
    pub(crate) in_flight: usize,
    pub(crate) batch_max: usize,
    pub(crate) prefetch: usize,
    /// How often a message may come back before the broker gives it up.
    pub(crate) delivery_limit: u32,
    /// Whether what comes back comes anywhere in its queue.
    pub(crate) disorder: bool,
    /// How many steps in a thousand are a fault, and how many faults there may be.
    pub(crate) faults: u64,
    pub(crate) faults_max: u32,
    /// How many tasks in a thousand die at one of their points.
    pub(crate) deaths: u64,
    /// How many answers in a thousand do not arrive.
    pub(crate) lost_answers: u64,
    /// How many transactions in a thousand fail.
    pub(crate) failures: u64,
}

impl Conditions {
    pub(crate) fn of(chance: &Chance) -> Self {
        let one_of = |choices: &[u64]| chance.pick(choices).unwrap_or_default();
        Self {
            lives: u32::try_from(chance.between(1, 4)).unwrap_or(1),
            ingresses: chance.between(1, 2),
            workers: chance.between(1, 2),
            relays: chance.between(1, 2),
            spool: chance.permille(750),
            in_flight: chance.between(1, 6),
            batch_max: chance.between(1, 12),
            prefetch: chance.between(1, 24),
            delivery_limit: u32::try_from(one_of(&[1, 2, 1000])).unwrap_or(u32::MAX),
            disorder: chance.permille(500),
            faults: one_of(&[0, 20, 60, 120]),
            faults_max: u32::try_from(chance.between(5, 60)).unwrap_or(0),
            deaths: one_of(&[0, 50, 150, 300]),
            lost_answers: one_of(&[0, 30, 150]),
            failures: one_of(&[0, 0, 30, 120]),
        }
    }

    /// As bad as they get, and with a spool, so that a defect has every occasion to show.
    pub(crate) fn worsen(&mut self) {
        (self.spool, self.faults, self.faults_max, self.deaths) = (true, 120, 60, 300);
    }
}
