//! Rewards as the worker leaves them, and a provider that is told of them.

use anyhow::{Context as _, Result};
use matchpurse_dispatcher::Dispatcher;
use matchpurse_domain::grants::{ContestKey, ContestKind, Grant, GrantKind, GrantState, Slot, grant_id};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::rewards::{Author, reverse};
use matchpurse_store::audit::{self, CHECKS};
use matchpurse_store::grants::tell::{GRANTED, notice};
use matchpurse_testkit::ProviderApi;
use uuid::Uuid;

use crate::stage::{Stage, source};

pub(crate) const KEY: &str = "3f0c9f4e-key-of-the-api";

/// What the adapter of the tests' provider says of itself.
pub(crate) const CALLS: usize = 100;
pub(crate) const WINDOW_S: i64 = 10;

/// A player's reward of a contest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Won<'w> {
    pub(crate) contest: &'w str,
    pub(crate) player: &'w str,
    pub(crate) reference: &'w str,
}

pub(crate) fn won<'w>(contest: &'w str, player: &'w str, reference: &'w str) -> Won<'w> {
    Won { contest, player, reference }
}

/// Writes a reward in a state, and where it is given the notice of it, as the worker does.
pub(crate) async fn give(stage: &Stage, of: &str, won: Won<'_>, state: GrantState) -> Result<Uuid> {
    let key =
        ContestKey { source: source(of), kind: ContestKind::Contest, contest_id: won.contest.to_owned() };
    let slot = Slot { player_id: PlayerId::new(won.player), reward_ref: won.reference.to_owned() };
    let (id, player) = (grant_id(&key, &slot), slot.player_id.key(&key.source));
    let kind = if state == GrantState::Recorded { GrantKind::Cash } else { GrantKind::Studio };
    let client = stage.database.connection().await?;
    let contest = "INSERT INTO contest (contest_key, source, kind, contest_id, first_event_id)
                   VALUES ($1, $2, 'contest', $3, $1) ON CONFLICT DO NOTHING";
    client.execute(contest, &[&key.uuid(), &of, &won.contest]).await?;
    let known =
        "INSERT INTO player (player_key, source, player_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    client.execute(known, &[&player, &of, &won.player]).await?;
    let sql = "INSERT INTO reward_grant (grant_id, contest_key, source, player_key, reward_ref, kind, state, reason,
                                         event_id)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'no_reference', $1)";
    client
        .execute(sql, &[&id, &key.uuid(), &of, &player, &won.reference, &kind.as_str(), &state.as_str()])
        .await?;
    if state == GrantState::Granted {
        let grant =
            Grant { kind, state, reason: None, detail: None, amount: None, value: None, payload: None };
        stage.tell(&[notice(GRANTED, &key, &slot, &grant, stage.now())]).await?;
    }
    Ok(id)
}

pub(crate) fn author() -> Author {
    Author { actor: "ann".to_owned(), reason: "a mistake".to_owned() }
}

/// A person takes a reward back.
pub(crate) async fn take_back(stage: &Stage, grant: Uuid) -> Result<()> {
    reverse(&stage.store, grant, &author(), stage.now()).await?;
    Ok(())
}

pub(crate) async fn grant_state(stage: &Stage, id: Uuid) -> Result<String> {
    let sql = "SELECT state FROM reward_grant WHERE grant_id = $1";
    Ok(stage.database.connection().await?.query_one(sql, &[&id]).await?.get(0))
}

/// The calls as `contest/player state`.
pub(crate) async fn calls(stage: &Stage) -> Result<Vec<String>> {
    let sql = "SELECT contest_id || '/' || player_id || ' ' || r.state
                 FROM redemption_call r JOIN contest USING (contest_key) JOIN player USING (player_key)";
    stage.texts(sql).await
}

/// What is wrong with calls and deliveries by the standing checks.
pub(crate) async fn findings(stage: &Stage) -> Result<Vec<String>> {
    let client = stage.store.client().await?;
    let mut found = Vec::new();
    let about = |name: &str| name.contains("provider is told") || name.contains("withdrawn");
    let checks: Vec<_> = CHECKS.iter().filter(|check| about(check.name)).collect();
    assert_eq!(checks.len(), 2, "the checks have other names");
    for check in checks {
        found.extend(audit::run(&client, check).await?.iter().map(ToString::to_string));
    }
    Ok(found)
}

/// A provider's API that goes by the stage's time.
pub(crate) async fn provider(stage: &Stage) -> Result<ProviderApi> {
    ProviderApi::start("x-lucra-api-key", CALLS, WINDOW_S, stage.clock()).await
}

/// A source whose provider is told.
pub(crate) fn told_source(name: &str, api: &ProviderApi) -> String {
    let url = api.url();
    format!(
        "[sources.{name}]\nprovider = \"lucra\"\ncurrency = \"USD\"\ncustody = \"provider\"\n\
         keys.api = [\"{KEY}\"]\noptions.api_url = \"{url}\"\n"
    )
}

/// Lets time pass from one call to the next until none waits, or none is made within so many seconds.
pub(crate) async fn live_calls(stage: &Stage, dispatcher: &mut Dispatcher, seconds: i64) -> Result<()> {
    let end = stage.now().plus_seconds(seconds);
    loop {
        dispatcher.settle().await?;
        let sql = "SELECT (extract(epoch FROM greatest(min(next_attempt_at),
                             (SELECT min(free_at) FROM call_slot))) * 1000000)::bigint::text
                     FROM redemption_call WHERE state = 'waiting' HAVING count(*) > 0";
        let due = stage.texts(sql).await?;
        let Some(due) = due.first() else { return Ok(()) };
        let due = Timestamp::from_micros(due.parse().context("a time")?);
        if due > end {
            stage.set(end);
            return Ok(());
        }
        assert!(due > stage.now(), "a call is due and was not made");
        stage.set(due);
    }
}
