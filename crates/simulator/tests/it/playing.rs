use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use matchpurse_simulator::{JournalError, Pace, Plan, PlanOptions, PlayError, PlayOptions, Progress, play};

use crate::ingress::{Faults, Ingress, NONE};
use crate::plans::options;
use crate::sources::{self, PROVIDER_HOLDS};

/// A file name of its own, gone at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("matchpurse-journal-{}-{number}", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn plan(seed: u64, lives: u32) -> Arc<Plan> {
    let sources = sources::all(PROVIDER_HOLDS);
    let options = PlanOptions { lives, odd_percent: 5, duplicate_percent: 10, ..options(seed, &sources) };
    Arc::new(Plan::new(options).unwrap())
}

async fn ingress(faults: Faults) -> Ingress {
    Ingress::start(sources::all(PROVIDER_HOLDS), faults).await
}

#[tokio::test]
async fn a_plan_is_played_to_its_end_and_leaves_what_it_expects() -> Result<()> {
    let (plan, ingress) = (plan(1, 60), ingress(NONE).await);
    let mut told = Vec::new();
    let played = play(&plan, &PlayOptions::new(ingress.url()), |progress| told.push(progress)).await?;
    let report = &played.report;
    assert!(report.is_as_planned(), "{:?}", report.surprises);
    assert_eq!(report.sent, u64::try_from(plan.items().len())?);
    assert_eq!(report.accepted + report.refused, report.planned);
    let count = |wanted: &dyn Fn(&matchpurse_simulator::Item) -> bool| {
        u64::try_from(plan.items().iter().filter(|item| wanted(item)).count()).unwrap()
    };
    assert_eq!(report.repeats, count(&|item| item.repeat));
    assert_eq!(report.refused, count(&|item| item.forgery.is_some()));
    assert_eq!(report.latency.count, report.planned);
    assert!(report.latency.p50_us > 0 && report.latency.max_us >= report.latency.p999_us);
    let last: &Progress = told.last().unwrap();
    assert_eq!((last.done, last.accepted), (report.planned, report.accepted));

    assert_eq!(plan.expected_after(&played.accepted), plan.expected());
    assert_eq!(plan.expected().audit(&ingress.effects()), []);
    Ok(())
}

#[tokio::test]
async fn what_fails_is_sent_again_until_it_is_taken() -> Result<()> {
    let (plan, ingress) = (plan(2, 40), ingress(Faults { unavailable: 15, cut: 10, ..NONE }).await);
    let played = play(&plan, &PlayOptions::new(ingress.url()), |_| {}).await?;
    assert!(played.report.is_as_planned(), "{:?}", played.report);
    assert!(
        played.report.retried > 0 && played.report.by_status[&503] > 0 && played.report.by_status[&0] > 0
    );
    assert_eq!(played.report.sent, played.report.planned + played.report.retried);
    assert_eq!(plan.expected().audit(&ingress.effects()), []);
    Ok(())
}

#[tokio::test]
async fn at_a_rate_requests_become_due_by_the_clock() -> Result<()> {
    let (plan, ingress) = (plan(3, 25), ingress(NONE).await);
    let options = PlayOptions {
        pace: Pace::AtRate { per_second: 1_000, in_flight_max: 64 },
        ..PlayOptions::new(ingress.url())
    };
    let played = play(&plan, &options, |_| {}).await?;
    assert!(played.report.is_as_planned(), "{:?}", played.report.surprises);
    // The last request is not due before its time, and cannot be answered before it is due.
    assert!(played.report.elapsed_ms >= played.report.planned - 1);
    assert_eq!(plan.expected().audit(&ingress.effects()), []);
    Ok(())
}

#[tokio::test]
async fn a_journal_knows_what_was_taken_and_the_next_run_sends_the_rest() -> Result<()> {
    let (plan, journal) = (plan(4, 40), TempFile::new());
    let ingress = ingress(Faults { broken_after: Some(100), ..NONE }).await;
    let options = PlayOptions {
        journal: Some(journal.0.clone()),
        give_up_after: Duration::from_millis(1),
        ..PlayOptions::new(ingress.url())
    };
    let first = play(&plan, &options, |_| {}).await?;
    assert!(first.report.given_up > 0 && !first.report.is_as_planned());
    let partly = plan.expected_after(&first.accepted);
    assert!(!partly.undecided.is_empty());
    assert_eq!(partly.audit(&ingress.effects()), []);

    // A line that was cut off by a crash is no entry.
    let mut torn = std::fs::read(&journal.0)?;
    torn.extend_from_slice(b"{\"accep");
    std::fs::write(&journal.0, torn)?;
    ingress.set_faults(NONE);
    let before = ingress.requests();
    let second = play(&plan, &options, |_| {}).await?;
    assert!(second.report.is_as_planned(), "{:?}", second.report);
    assert!(second.report.skipped >= u64::try_from(first.accepted.deliveries.len())?);
    assert_eq!(ingress.requests() - before, second.report.planned - second.report.skipped);
    // Forgeries were sent by both runs, so only their number differs from the plan's.
    let mut whole = plan.expected_after(&second.accepted);
    assert_eq!(whole.audit(&ingress.effects()), []);
    for (effects, planned) in whole.effects.values_mut().zip(plan.expected().effects.values()) {
        effects.refused = planned.refused;
    }
    assert_eq!(whole, plan.expected());
    Ok(())
}

#[tokio::test]
async fn a_journal_of_another_plan_is_refused() -> Result<()> {
    let (journal, ingress) = (TempFile::new(), ingress(NONE).await);
    let options = PlayOptions { journal: Some(journal.0.clone()), ..PlayOptions::new(ingress.url()) };
    play(&plan(5, 3), &options, |_| {}).await?;
    let other = play(&plan(6, 3), &options, |_| {}).await;
    assert!(matches!(other, Err(PlayError::Journal(JournalError::AnotherPlan(_)))), "{other:?}");
    std::fs::write(&journal.0, "no journal\n")?;
    let none = play(&plan(5, 3), &options, |_| {}).await;
    assert!(matches!(none, Err(PlayError::Journal(JournalError::Line { line: 1, .. }))), "{none:?}");
    Ok(())
}

/// The other side trusts nobody that the plan knows, so everything is refused: that must not look well.
#[tokio::test]
async fn an_answer_that_must_not_come_is_a_surprise() -> Result<()> {
    let mut strangers = sources::all(PROVIDER_HOLDS);
    for source in &mut strangers {
        source.keys = matchpurse_providers::Keys::default();
    }
    let (plan, ingress) = (plan(7, 10), Ingress::start(strangers, NONE).await);
    let played = play(&plan, &PlayOptions::new(ingress.url()), |_| {}).await?;
    let report = played.report;
    assert!(!report.is_as_planned());
    assert_eq!(report.refused, report.planned);
    let genuine = plan.items().iter().filter(|item| item.forgery.is_none()).count();
    assert_eq!(report.surprising, u64::try_from(genuine)?);
    assert_eq!((report.surprises[0].found, report.surprises[0].expected.as_str()), (401, "200"));
    assert!(played.accepted.deliveries.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_played_is_refused_at_once() {
    let plan = plan(8, 3);
    for target in ["", "127.0.0.1", "/hooks"] {
        let refused = play(&plan, &PlayOptions::new(target), |_| {}).await;
        assert!(matches!(refused, Err(PlayError::Target(_))), "{target:?}: {refused:?}");
    }
    let still =
        PlayOptions { pace: Pace::AsFastAs { connections: 0 }, ..PlayOptions::new("http://127.0.0.1:1") };
    assert!(matches!(play(&plan, &still, |_| {}).await, Err(PlayError::Pace)));
}
