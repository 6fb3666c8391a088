//! Which blow falls when. Everything here follows from the seed and the round's number, and from nothing else.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use matchpurse_contracts::topology::Queue;
use matchpurse_testkit::Dice;

use crate::links::{Break, Link};
use crate::system::service::Service;

/// A kind of fault. Its name is what `--faults` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// kill -9 of the dispatcher and of the reward worker, each once or twice
    KillRewards,
    /// kill -9 of one service, up to three times
    KillOne,
    /// kill -9 of two services at once
    KillPair,
    /// kill -9 of all services at once
    KillAll,
    /// SIGSTOP of a service, for up to 20 s
    Stop,
    /// pg_terminate_backend of every connection, up to three times
    TerminateBackends,
    /// PostgreSQL stopped at once (pg_ctl -m immediate), and back after up to 8 s
    PostgresStop,
    /// kill -9 of PostgreSQL with all its sessions, and back after up to 8 s
    PostgresKill,
    /// kill -9 of RabbitMQ
    BrokerKill,
    /// RabbitMQ stopped in order and started again
    BrokerRestart,
    /// kill -9 of RabbitMQ and of a service
    BrokerAndService,
    /// kill -9 of PostgreSQL and of a service
    PostgresAndService,
    /// A connection between a service and a server cut, for up to 8 s
    Cut,
    /// A connection between a service and a server on which nothing flows, for up to 25 s; then it goes on
    Pause,
    /// A connection between a service and a server that is dead, and nobody says so
    HalfOpen,
    /// 200 ms in each direction between a service and a server, for 8 s
    Latency,
    /// The tables that everybody needs locked, for up to 12 s: locks and statements time out
    LockTables,
    /// The studio fails: it does the work and answers 500, hangs, or hangs up
    StudioFails,
    /// RabbitMQ's alarm of memory, for up to 6 s: it takes no message
    MemoryAlarm,
    /// RabbitMQ's alarm of disk, for up to 6 s: it takes no message
    DiskAlarm,
    /// A worker's queue is deleted, with what is in it
    QueueDeleted,
    /// A worker's bindings are taken away
    Unbound,
    /// The exchange of the events is deleted, and with it all bindings
    ExchangeDeleted,
    /// The disk of PostgreSQL is full, for up to 5 s; needs root, who mounts a small one
    DatabaseDiskFull,
    /// The clock of one service jumps by ten minutes, and back after up to 6 s; needs libfaketime
    ClockMoved,
    /// Every service ended in order and started again, one after the other: by the programs of --previous, then by the
    /// present ones
    RollingRestart,
}

/// Which resource RabbitMQ believes to be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    Memory,
    Disk,
}

/// What is done at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    Kill(Vec<Service>),
    Stop(Service, Duration),
    TerminateBackends,
    PostgresStop(Duration),
    PostgresKill(Duration),
    BrokerKill,
    BrokerRestart,
    Break(Link, Break, Duration),
    LockTables(Duration),
    Alarm(Alarm, Duration),
    DeleteQueue(Queue),
    Unbind(Queue),
    DeleteExchange,
    FillDatabaseDisk(Duration),
    /// By so many seconds.
    MoveClock(Service, i64, Duration),
    /// By the previous programs, and by the present ones.
    Roll,
}

/// A blow and its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When so much of the round's traffic is answered, in thousandths…
    pub(crate) at_permille: u64,
    /// …and so much time more has gone.
    pub(crate) wait: Duration,
    pub(crate) blow: Blow,
}

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) number: u32,
    pub(crate) fault: Fault,
    /// What the traffic follows from.
    pub(crate) traffic_seed: u64,
    pub(crate) steps: Vec<Step>,
}

impl Fault {
    pub(crate) const ALL: [Self; 26] = [
        Self::KillRewards,
        Self::KillOne,
        Self::KillPair,
        Self::KillAll,
        Self::Stop,
        Self::TerminateBackends,
        Self::PostgresStop,
        Self::PostgresKill,
        Self::BrokerKill,
        Self::BrokerRestart,
        Self::BrokerAndService,
        Self::PostgresAndService,
        Self::Cut,
        Self::Pause,
        Self::HalfOpen,
        Self::Latency,
        Self::LockTables,
        Self::StudioFails,
        Self::MemoryAlarm,
        Self::DiskAlarm,
        Self::QueueDeleted,
        Self::Unbound,
        Self::ExchangeDeleted,
        Self::DatabaseDiskFull,
        Self::ClockMoved,
        Self::RollingRestart,
    ];

    /// Whether a connection between a service and a server is broken.
    pub(crate) fn breaks_a_link(self) -> bool {
        matches!(self, Self::Cut | Self::Pause | Self::HalfOpen | Self::Latency)
    }

    /// Whether it is done to a server, which must be ours then.
    pub(crate) fn hits_a_server(self) -> bool {
        matches!(
            self,
            Self::PostgresStop
                | Self::PostgresKill
                | Self::BrokerKill
                | Self::BrokerRestart
                | Self::BrokerAndService
                | Self::PostgresAndService
                | Self::MemoryAlarm
                | Self::DiskAlarm
                | Self::DatabaseDiskFull
        )
    }

    /// Whether RabbitMQ takes no messages while it goes on.
    pub(crate) fn blocks_publishers(self) -> bool {
        matches!(self, Self::MemoryAlarm | Self::DiskAlarm)
    }

    /// How many times the usual traffic a round has: what takes seconds to do must be done under traffic still.
    pub(crate) fn traffic(self) -> u32 {
        match self {
            Self::MemoryAlarm | Self::DiskAlarm | Self::DatabaseDiskFull | Self::RollingRestart => 3,
            _ => 1,
        }
    }
}

/// A promise about recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) words: &'static str,
    pub(crate) within: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no fault is hidden").get_name())
    }
}

impl Schedule {
    /// The round of this number.
    pub(crate) fn new(seed: u64, number: u32, faults: &[Fault]) -> Self {
        let index = usize::try_from(number.saturating_sub(1)).unwrap_or(0);
        let fault = faults[index % faults.len()];
        // The first throws of neighbouring seeds are alike.
        let mut dice = Dice::new(seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.below(2);
        let traffic_seed = seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number));
        let mut steps = steps(fault, &mut dice);
        steps.sort_by_key(|step| (step.at_permille, step.wait));
        Self { number, fault, traffic_seed, steps }
    }

    /// What is promised of recovery from it.
    pub(crate) fn target(&self) -> Option<Target> {
        let (words, within) = match (self.fault, self.steps.first().map(|step| &step.blow)) {
            (Fault::KillOne, Some(Blow::Kill(services))) if services[..] == [Service::Ingress] => {
                ("The ingress is ready within 2 s of its kill", 2)
            }
            (Fault::BrokerKill | Fault::BrokerRestart, _) => {
                ("All workers consume within 10 s of RabbitMQ's return", 10)
            }
            (Fault::PostgresStop | Fault::PostgresKill, _) => {
                ("All workers consume within 15 s of PostgreSQL's return", 15)
            }
            _ => return None,
        };
        Some(Target { words, within: Duration::from_secs(within) })
    }

    /// What the table calls it.
    pub(crate) fn label(&self) -> String {
        match (self.fault, self.steps.first().map(|step| &step.blow)) {
            (Fault::KillOne, Some(Blow::Kill(services))) => format!("kill -9 of {}", services[0].name()),
            (Fault::Stop, Some(Blow::Stop(service, _))) => format!("SIGSTOP of {}", service.name()),
            (Fault::KillRewards, _) => "kill -9 of dispatcher and reward-fulfillment".to_owned(),
            (Fault::KillPair, _) => "kill -9 of two services".to_owned(),
            (Fault::KillAll, _) => "kill -9 of all services".to_owned(),
            (Fault::TerminateBackends, _) => "every PostgreSQL session ended".to_owned(),
            (Fault::PostgresStop, _) => "PostgreSQL stopped at once".to_owned(),
            (Fault::PostgresKill, _) => "kill -9 of PostgreSQL".to_owned(),
            (Fault::BrokerKill, _) => "kill -9 of RabbitMQ".to_owned(),
            (Fault::BrokerRestart, _) => "RabbitMQ restarted in order".to_owned(),
            (Fault::BrokerAndService, _) => "kill -9 of RabbitMQ and a service".to_owned(),
            (Fault::PostgresAndService, _) => "kill -9 of PostgreSQL and a service".to_owned(),
            (
                Fault::Cut | Fault::Pause | Fault::HalfOpen | Fault::Latency,
                Some(Blow::Break(link, how, _)),
            ) => {
                let server = if matches!(link, Link::Broker(_)) { "RabbitMQ" } else { "PostgreSQL" };
                match how {
                    Break::Cut => format!("a service cut off from {server}"),
                    Break::Pause => format!("silence between a service and {server}"),
                    Break::Abandon => format!("half-open connections of a service to {server}"),
                    Break::Slow => format!("200 ms between a service and {server}"),
                }
            }
            (Fault::LockTables, _) => "tables locked".to_owned(),
            (Fault::StudioFails, _) => "the studio fails".to_owned(),
            (Fault::MemoryAlarm, _) => "RabbitMQ short of memory".to_owned(),
            (Fault::DiskAlarm, _) => "RabbitMQ short of disk".to_owned(),
            (Fault::QueueDeleted, _) => "a worker's queue deleted".to_owned(),
            (Fault::Unbound, _) => "a worker's bindings removed".to_owned(),
            (Fault::ExchangeDeleted, _) => "the exchange deleted".to_owned(),
            (Fault::DatabaseDiskFull, _) => "PostgreSQL's disk full".to_owned(),
            (Fault::ClockMoved, Some(Blow::MoveClock(service, ..))) => {
                format!("clock of {} moved by 10 min", service.name())
            }
            (Fault::RollingRestart, _) => "all services restarted in turn".to_owned(),
            (fault, _) => fault.to_string(),
        }
    }
}

/// Some moment of the round, and within a quarter of a second.
fn some_time(dice: &mut Dice, blow: Blow) -> Step {
    let at_permille = u64::try_from(50 + dice.below(900)).unwrap_or(0);
    let wait = Duration::from_micros(u64::try_from(dice.below(250_000)).unwrap_or(0));
    Step { at_permille, wait, blow }
}

fn service(dice: &mut Dice) -> Service {
    Service::ALL[dice.below(Service::ALL.len())]
}

/// Early enough for there to be traffic during what takes long.
fn early(dice: &mut Dice, blow: Blow) -> Step {
    Step { at_permille: u64::try_from(20 + dice.below(180)).unwrap_or(0), ..some_time(dice, blow) }
}

/// What is deleted can be had from the archive, so it is not the archive's.
fn queue(dice: &mut Dice) -> Queue {
    let workers = [Queue::MatchEscrow, Queue::RewardFulfillment, Queue::PlayerStats, Queue::OfferRemoval];
    workers[dice.below(workers.len())]
}

fn seconds(dice: &mut Dice, among: [u64; 3]) -> Duration {
    Duration::from_secs(among[dice.below(3)])
}

fn down(dice: &mut Dice) -> Duration {
    Duration::from_millis([0, 500, 2_000, 8_000][dice.below(4)])
}

fn broken(dice: &mut Dice, how: Break, times_ms: &[u64]) -> Step {
    let time = Duration::from_millis(times_ms[dice.below(times_ms.len())]);
    let link = Link::some(dice);
    some_time(dice, Blow::Break(link, how, time))
}

fn steps(fault: Fault, dice: &mut Dice) -> Vec<Step> {
    let several = |dice: &mut Dice, blow: Blow| -> Vec<Step> {
        (0..=dice.below(3)).map(|_| some_time(dice, blow.clone())).collect()
    };
    match fault {
        Fault::KillRewards => {
            let mut steps = Vec::new();
            for service in [Service::Dispatcher, Service::RewardFulfillment] {
                for _ in 0..=dice.below(2) {
                    steps.push(some_time(dice, Blow::Kill(vec![service])));
                }
            }
            steps
        }
        Fault::KillOne => {
            let blow = Blow::Kill(vec![service(dice)]);
            several(dice, blow)
        }
        Fault::KillPair => {
            let mut pair = dice.shuffled(Service::ALL.to_vec());
            pair.truncate(2);
            vec![some_time(dice, Blow::Kill(pair))]
        }
        Fault::KillAll => vec![some_time(dice, Blow::Kill(Service::ALL.to_vec()))],
        Fault::Stop => {
            let time = Duration::from_secs([1, 5, 20][dice.below(3)]);
            let blow = Blow::Stop(service(dice), time);
            vec![some_time(dice, blow)]
        }
        Fault::TerminateBackends => several(dice, Blow::TerminateBackends),
        Fault::PostgresStop => {
            let blow = Blow::PostgresStop(down(dice));
            vec![some_time(dice, blow)]
        }
        Fault::PostgresKill => {
            let blow = Blow::PostgresKill(down(dice));
            vec![some_time(dice, blow)]
        }
        Fault::BrokerKill => vec![some_time(dice, Blow::BrokerKill)],
        Fault::BrokerRestart => vec![some_time(dice, Blow::BrokerRestart)],
        Fault::BrokerAndService => {
            let killed = Blow::Kill(vec![service(dice)]);
            vec![some_time(dice, Blow::BrokerKill), some_time(dice, killed)]
        }
        Fault::PostgresAndService => {
            let (killed, stopped) = (Blow::Kill(vec![service(dice)]), Blow::PostgresKill(down(dice)));
            vec![some_time(dice, stopped), some_time(dice, killed)]
        }
        Fault::Cut => vec![broken(dice, Break::Cut, &[0, 500, 2_000, 8_000])],
        Fault::Pause => vec![broken(dice, Break::Pause, &[2_000, 8_000, 25_000])],
        Fault::HalfOpen => vec![broken(dice, Break::Abandon, &[0])],
        Fault::Latency => vec![broken(dice, Break::Slow, &[8_000])],
        Fault::LockTables => {
            let time = Duration::from_millis([1_000, 4_000, 12_000][dice.below(3)]);
            vec![some_time(dice, Blow::LockTables(time))]
        }
        Fault::StudioFails => vec![],
        Fault::MemoryAlarm | Fault::DiskAlarm => {
            let alarm = if fault == Fault::MemoryAlarm { Alarm::Memory } else { Alarm::Disk };
            let blow = Blow::Alarm(alarm, seconds(dice, [1, 3, 6]));
            vec![early(dice, blow)]
        }
        Fault::QueueDeleted => {
            let blow = Blow::DeleteQueue(queue(dice));
            vec![some_time(dice, blow)]
        }
        Fault::Unbound => {
            let blow = Blow::Unbind(queue(dice));
            vec![some_time(dice, blow)]
        }
        Fault::ExchangeDeleted => vec![some_time(dice, Blow::DeleteExchange)],
        Fault::DatabaseDiskFull => {
            let blow = Blow::FillDatabaseDisk(seconds(dice, [1, 3, 5]));
            vec![early(dice, blow)]
        }
        Fault::ClockMoved => {
            let by = [-600, 600][dice.below(2)];
            let blow = Blow::MoveClock(service(dice), by, seconds(dice, [1, 3, 6]));
            vec![early(dice, blow)]
        }
        Fault::RollingRestart => vec![early(dice, Blow::Roll)],
    }
}
