//! One round: traffic, blows, waiting until everything is through, and the audit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use matchpurse_domain::time::Timestamp;
use matchpurse_simulator::{Pace, Plan, PlanOptions, PlayOptions, Played, Progress, Report, play};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::auditor;
use crate::faults::{Blow, Fault, Schedule, Step, Target};
use crate::options::Options;
use crate::rig::Rig;
use crate::servers::Servers;
use crate::system::service::Service;
use crate::system::tables::Tables;

/// A delivery to the studio that failed twice waits for five minutes, so this is longer.
const DRAIN_PATIENCE: Duration = Duration::from_secs(480);
/// How often it is looked whether everything is through.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often an orchestrator asks whether a service is alive.
const LIVENESS_EVERY: Duration = Duration::from_secs(5);
/// For so long nothing must change before it is believed that nothing will.
const REST: Duration = Duration::from_secs(2);
/// Requests under way at once; those that are tried again are among them.
const IN_FLIGHT_MAX: usize = 256;
/// A request that is not taken after this time never is: longer than any fault.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
/// The bound of one attempt: also a machine that has much else to do answers within it.
const ATTEMPT_TIME_LIMIT: Duration = Duration::from_secs(60);

/// While the broker takes nothing the ingress answers within its own limits for that: 2 s for a confirm here, 5 s for a
/// connection of the pool, 8 s for a statement, and 1 s; the rest is for a machine that has much else to do.
const ANSWER_TIME_LIMIT: Duration = Duration::from_secs(20);

/// How wrong a sender's clock may be in the rounds that move one.
const CLOCK_SLACK: Duration = Duration::from_secs(660);

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) label: String,
    /// How soon everything should be ready again, where that is promised.
    pub(crate) target: Option<Target>,
    /// Distinct deliveries that were answered with 2xx.
    pub(crate) accepted: usize,
    /// Requests that had to be sent again, because the ingress could not take them.
    pub(crate) retried: u64,
    /// The longest time that one request waited for its answer.
    pub(crate) slowest: Duration,
    /// After each blow, until everything was ready.
    pub(crate) ready: Vec<Duration>,
    /// From the end of traffic and blows until everything was through.
    pub(crate) drained: Duration,
    /// How often a service said of itself that it is not alive, and was started again.
    pub(crate) revived: usize,
    pub(crate) violations: Vec<String>,
}

/// Plays a round.
pub(crate) async fn run(
    rig: &mut Rig,
    servers: &Mutex<Servers>,
    schedule: &Schedule,
    options: &Options,
) -> Result<Outcome> {
    let plan = Arc::new(plan(rig, schedule, options, 25, 5)?);
    let journal = rig.file(&format!("round-{}.journal", schedule.number));
    let mut play_options = PlayOptions::new(format!("http://{}", rig.system.ingress()));
    play_options.pace = Pace::AtRate { per_second: options.rate, in_flight_max: IN_FLIGHT_MAX };
    play_options.give_up_after = GIVE_UP_AFTER;
    play_options.attempt_time_limit = ATTEMPT_TIME_LIMIT;
    play_options.journal = Some(journal.clone());
    play_options.tell_every = Duration::from_millis(10);
    for stand_in in &mut rig.stand_ins {
        stand_in.fail(schedule.fault == Fault::StudioFails);
        let wrong_clock = schedule.fault == Fault::ClockMoved;
        stand_in.forgive(if wrong_clock { CLOCK_SLACK } else { Duration::ZERO });
    }
    let mut traffic = Traffic::start(&plan, play_options);
    let mut outcome = Outcome { label: schedule.label(), target: schedule.target(), ..Outcome::default() };
    for step in &schedule.steps {
        traffic.reach(step.at_permille).await?;
        tokio::time::sleep(step.wait).await;
        let took = rig.strike(&step.blow, servers).await.with_context(|| format!("after {:?}", step.blow))?;
        outcome.ready.push(took);
    }
    let played = traffic.end().await?;
    if !played.report.is_as_planned() && !refused_by_a_wrong_clock(schedule, &played.report) {
        let report = &played.report;
        outcome.violations.push(format!("traffic was not answered as it had to be: {report:?}"));
    }
    let slowest = Duration::from_micros(played.report.attempt_latency.max_us);
    if schedule.fault.blocks_publishers() && slowest > ANSWER_TIME_LIMIT {
        outcome.violations.push(format!("a request waited {slowest:?} for its answer"));
    }
    outcome.slowest = slowest;
    outcome.retried = played.report.retried;
    // The auditor knows the log, not the player's memory.
    let accepted = auditor::read_journal(&journal)?;
    outcome.accepted = accepted.len();
    rig.accepted.extend(accepted.iter().map(|id| (*id, schedule.number)));
    let events = plan.event_ids().map(|(delivery, event)| (event.uuid(), delivery.uuid()));
    rig.events.extend(events.filter(|(_, delivery)| rig.accepted.contains_key(delivery)));
    let expected = plan.expected_after(&played.accepted);
    for (source, effects) in expected.effects {
        rig.expected.effects.entry(source).or_default().add(effects);
    }
    for (source, undecided) in expected.undecided {
        rig.expected.undecided.entry(source).or_default().extend(undecided);
    }
    rig.system.ready().await?;
    let ended = Instant::now();
    outcome.revived = drain(rig, &accepted).await?;
    outcome.drained = ended.elapsed();
    outcome.violations.extend(auditor::violations(rig).await?);
    Ok(outcome)
}

/// Where the ingress's clock is wrong, what carries a time of its own may be refused, as forgeries are: that is the one
/// source whose provider sends tokens that end. Nothing else may be answered otherwise.
fn refused_by_a_wrong_clock(schedule: &Schedule, report: &Report) -> bool {
    let moved = |step: &Step| matches!(step.blow, Blow::MoveClock(Service::Ingress, ..));
    let mut sources: Vec<&str> = report.surprises.iter().map(|surprise| surprise.source.as_str()).collect();
    sources.dedup();
    schedule.steps.iter().any(moved)
        && report.given_up == 0
        && report.done == report.planned
        && sources.len() == 1
        && report.surprises.iter().all(|surprise| surprise.found == 401 && surprise.forgery.is_none())
}

/// The traffic of a round; without repeats and forgeries each delivery has the same bytes as with them.
fn plan(rig: &Rig, schedule: &Schedule, options: &Options, repeats: u32, forged: u32) -> Result<Plan> {
    let mut planned = PlanOptions::new(schedule.traffic_seed, rig.simulated()?);
    planned.lives = options.lives.saturating_mul(schedule.fault.traffic());
    planned.duplicate_percent = repeats;
    planned.forged_percent = forged;
    planned.odd_percent = 5;
    planned.shuffle_window = 40;
    // A day later each round: what is true last must have happened last.
    planned.epoch =
        Timestamp::from_micros(planned.epoch.micros() + i64::from(schedule.number) * 86_400_000_000);
    Ok(Plan::new(planned)?)
}

/// Waits until everything that was taken is through.
async fn drain(rig: &mut Rig, accepted: &[Uuid]) -> Result<usize> {
    let deadline = Instant::now() + DRAIN_PATIENCE;
    let (mut revived, mut next_look) = (0, Instant::now() + LIVENESS_EVERY);
    while let Some(objection) = auditor::not_through(rig, accepted).await? {
        if Instant::now() > deadline {
            bail!("not through after {DRAIN_PATIENCE:?}: {objection}");
        }
        if Instant::now() > next_look {
            next_look = Instant::now() + LIVENESS_EVERY;
            revived += rig.revive().await?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(revived)
}

/// Sends everything of a round once more: nothing may change, and nothing may be sent to the studio.
pub(crate) async fn replay(rig: &mut Rig, schedule: &Schedule, options: &Options) -> Result<Vec<String>> {
    let plan = Arc::new(plan(rig, schedule, options, 0, 0)?);
    let ids: BTreeMap<Uuid, u64> = plan.delivery_ids().map(|id| (id.uuid(), 1)).collect();
    let before = tables(rig).await?;
    let consumed = rig.consumed().await?;
    let play_options = PlayOptions::new(format!("http://{}", rig.system.ingress()));
    let played = Traffic::start(&plan, play_options).end().await?;
    if !played.report.is_as_planned() {
        return Ok(vec![format!("a replay was not answered as it had to be: {:?}", played.report)]);
    }
    let published = rig.system.published(&ids).await?;
    let deadline = Instant::now() + DRAIN_PATIENCE;
    loop {
        let now = rig.consumed().await?;
        let open = published.iter().find(|(queue, count)| {
            let [before, now] = [&consumed, &now].map(|all| all.get(*queue).copied().unwrap_or(0));
            now.saturating_sub(before) < **count
        });
        let Some(open) = open else { break };
        if Instant::now() > deadline {
            bail!("a replay is not through after {DRAIN_PATIENCE:?}: {open:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let changes = before.changes(&tables(rig).await?);
    Ok(changes.into_iter().map(|change| format!("a replay changed something: {change}")).collect())
}

/// All tables, when what is made beside the workers has come to rest too.
async fn tables(rig: &Rig) -> Result<Tables> {
    let deadline = Instant::now() + DRAIN_PATIENCE;
    let mut last = rig.system.tables(&[]).await?;
    loop {
        tokio::time::sleep(REST).await;
        let now = rig.system.tables(&[]).await?;
        if last == now {
            return Ok(now);
        }
        if Instant::now() > deadline {
            bail!("no rest after {DRAIN_PATIENCE:?}: {:?}", last.changes(&now).first());
        }
        last = now;
    }
}

/// A plan that is being played.
struct Traffic {
    task: JoinHandle<Result<Played>>,
    progress: watch::Receiver<Progress>,
    planned: u64,
}

impl Traffic {
    fn start(plan: &Arc<Plan>, options: PlayOptions) -> Self {
        let (sender, progress) = watch::channel(Progress::default());
        let (plan, planned) = (Arc::clone(plan), u64::try_from(plan.items().len()).unwrap_or(u64::MAX));
        let playing = async move {
            Ok(play(&plan, &options, move |now| sender.send_modify(|told| *told = now)).await?)
        };
        Self { task: tokio::spawn(playing), progress, planned }
    }

    /// Waits until so much of it is answered; who has ended has said why.
    async fn reach(&mut self, permille: u64) -> Result<()> {
        let wanted = self.planned * permille / 1000;
        // An error means that the player has ended.
        drop(self.progress.wait_for(|progress| progress.done >= wanted).await);
        Ok(())
    }

    async fn end(self) -> Result<Played> {
        self.task.await.context("the player panicked")?
    }
}
