//! What comes along with rewards, against the studio's schemas.

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_testkit::{Database, Trial};

use crate::events::*;

const SCHEMAS: &str = r#"
schemas.studio = '{ "type": "object", "required": ["sku"] }'
schemas.credit = '{ "type": ["object", "null"], "properties": { "wallet": { "type": "string" } } }'
"#;

fn credit(intent: &str, metadata: Option<&str>) -> Event {
    let mut event = wish(intent, 100, "COMPLETED");
    if let Payload::CreditConversion(wish) = &mut event.payload {
        wish.metadata = metadata.map(str::to_owned);
    }
    at(event, 1_790_000_000)
}

fn bare(reference: &str) -> Option<Reward> {
    studio(reference, "").map(|reward| Reward { metadata: None, ..reward })
}

fn open(contest: &str, reward: Option<Reward>) -> Event {
    snapshot(MatchKind::FreeToPlay, contest, MatchStatus::Open, &[], &[("ann", reward)])
}

fn won(contest: &str, reward: Option<Reward>) -> Event {
    outcome(contest, "ann", &[("ann", Outcome::Win, reward)])
}

/// Whether the studio hears of a hold depends on which comes first, so the notices are not among the tables.
fn trial() -> Trial<RewardFulfillment> {
    let drink = r#"{"sku":"drink"}"#;
    Trial {
        effects: worker(SCHEMAS),
        events: vec![
            won("good", studio("r", drink)),
            won("wrong", studio("r", r#"{"qty":1}"#)),
            won("text", studio("r", r#""drink""#)),
            won("no-json", studio("r", "{sku")),
            won("nothing", bare("r")),
            // The outcome brings nothing along and the promise does, whichever comes first.
            won("promised", bare("r")),
            open("promised", promised("r", drink)),
            won("promised-wrong", bare("r")),
            open("promised-wrong", promised("r", "[]")),
            credit("no-metadata", None),
            credit("good-metadata", Some(r#"{"wallet":"w"}"#)),
            credit("wrong-metadata", Some(r#"{"wallet":5}"#)),
            // No schema is for these: nobody but the provider wrote them.
            postback("points", "ann", 150, "goal"),
            snapshot(MatchKind::Recreational, "cash", MatchStatus::Closed, &["ann"], &[("ann", cash(1800))]),
        ],
        tables: &[
            "SELECT kind, contest_id, ending, outcome_digest, entries FROM contest",
            "SELECT grant_id, source, player_key, reward_ref, kind, amount, currency, value, payload, state, reason,
                    detail FROM reward_grant",
            "SELECT kind, subject FROM outbox WHERE kind <> 'reward.held'",
        ],
        versions: "SELECT ctid || '/' || xmin FROM reward_grant UNION ALL SELECT ctid || '/' || xmin FROM outbox",
    }
}

#[tokio::test]
async fn what_the_schema_refuses_is_held_with_the_validators_words() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    trial().apply(&store, &trial().events).await?;
    let sql = "SELECT concat_ws(' | ', c.contest_id, g.state, g.reason, g.detail, g.payload)
                 FROM reward_grant g JOIN contest c USING (contest_key)";
    insta::assert_snapshot!(database.texts(sql).await?.join("\n"), @r#"
    cash | recorded
    good | granted | {"sku": "drink"}
    good-metadata | granted | {"wallet": "w"}
    no-json | needs_review | payload_not_json | key must be a string at line 1 column 2
    no-metadata | granted
    nothing | needs_review | payload_refused | null is not of type "object"
    points | granted | {"payout": null, "goal_id": null, "offer_id": "12345678900123456", "goal_name": "goal"}
    promised | granted | {"sku": "drink"}
    promised-wrong | needs_review | payload_refused | [] is not of type "object" | []
    text | needs_review | payload_refused | "drink" is not of type "object" | "drink"
    wrong | needs_review | payload_refused | "sku" is a required property | {"qty": 1}
    wrong-metadata | needs_review | payload_refused | /wallet: 5 is not of type "string" | {"wallet": 5}
    "#);
    let held = "SELECT payload ->> 'reason' FROM outbox WHERE kind = 'reward.held'";
    assert_eq!(
        database.texts(held).await?.len(),
        7,
        "the studio is told of what is held, also of what follows"
    );
    assert_eq!(findings(&store).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn every_order_ends_in_the_same_grants() -> Result<()> {
    trial().every_order_and_batch_with_repeats_ends_in_the_same_tables().await
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_no_row() -> Result<()> {
    trial().a_batch_that_comes_again_changes_no_row().await
}

/// A player's client can write anything.
#[tokio::test]
async fn hostile_metadata_is_held_and_holds_nobody_up() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let long = format!(r#"{{"skus":"{}"}}"#, "é".repeat(3000));
    let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    let beyond = "[".repeat(300);
    let huge = format!("\"{}\"", "x".repeat(20_000));
    let hostile =
        [long.as_str(), &deep, &beyond, &huge, r#"{"\u0000":1}"#, "[1e99999]", "\u{feff}{}", "NaN", "-"];
    let mut events: Vec<Event> =
        (0..).zip(hostile).map(|(n, text)| won(&format!("h{n}"), studio("r", text))).collect();
    events.push(won("good", studio("r", r#"{"sku":"drink"}"#)));
    trial().apply(&store, &events).await?;
    let states = "SELECT c.contest_id || ' ' || g.state || coalesce(' ' || g.reason, '')
                    FROM reward_grant g JOIN contest c USING (contest_key)";
    insta::assert_snapshot!(database.texts(states).await?.join("\n"), @r#"
    good granted
    h0 needs_review payload_refused
    h1 needs_review payload_refused
    h2 needs_review payload_not_json
    h3 needs_review payload_too_large
    h4 needs_review payload_not_storable
    h5 needs_review payload_not_json
    h6 needs_review payload_not_json
    h7 needs_review payload_not_json
    h8 needs_review payload_not_json
    "#);
    let longest = "SELECT (max(length(detail)) <= 1000)::text FROM reward_grant";
    assert_eq!(database.texts(longest).await?, ["true"]);
    Ok(())
}
