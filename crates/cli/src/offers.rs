//! `matchpurse offers`: see offers, ask what a player may see, watch what changes.

use std::time::Duration;

use anyhow::Result;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::offers::OfferState;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::offers::{self, Change, OfferRecord, Position, Question};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there};
use crate::member::set;
use crate::moment::{clock, printable, stamp};
use crate::out::Out;
use crate::say;
use crate::table::{Table, left, or_dash, state as state_cell, words};

/// How often it is looked for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Changes of one look.
const PAGE: u32 = 500;

/// See offers, ask what a player may see, and watch what changes
#[derive(Debug, clap::Args)]
pub(crate) struct OffersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show those of a source, by their ids
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The offerwall
        source: String,
        /// Only those in this state: active or removed
        #[arg(long, value_parser = state)]
        state: Option<OfferState>,
        /// Only those behind this id
        #[arg(long)]
        after: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show all that is known of one
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The offerwall
        source: String,
        /// The provider's id of the offer
        offer: String,
    },
    /// Say whether a player may see offers, and why
    Eligible {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The offerwall
        source: String,
        /// The player
        player: String,
        /// The provider's ids of the offers
        #[arg(required = true)]
        offers: Vec<String>,
    },
    /// Print what changes, as it comes, until interrupted
    Watch {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those of this offerwall
        #[arg(long)]
        source: Option<String>,
        /// Begin behind this place instead of now: the first word of a line that was printed earlier
        #[arg(long)]
        after: Option<Position>,
    },
}

fn state(text: &str) -> Result<OfferState, String> {
    OfferState::parse(text).ok_or_else(|| "there are active, removed".to_owned())
}

/// Shows, asks or watches.
pub(crate) async fn run(args: OffersArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database, source, state, after, limit } => {
            let source = SourceName::parse(&source)?;
            let store = database.connect().await?;
            let found = offers::list(&store.client().await?, &source, state, after.as_deref(), limit).await?;
            out.list(&found, json, table);
        }
        Action::Show { database, source, offer } => {
            let source = SourceName::parse(&source)?;
            let store = database.connect().await?;
            let found = offers::find(&store.client().await?, &source, &offer).await?;
            let record = found.ok_or_else(|| not_there("there is no such offer"))?;
            out.thing(|| whole(&record), || text(&record));
        }
        Action::Eligible { database, source, player, offers } => {
            let source = SourceName::parse(&source)?;
            let store = database.connect().await?;
            let question = Question { player: PlayerId::new(player), offers };
            let asked = std::slice::from_ref(&question);
            let answers = offers::eligible(&store.client().await?, &source, asked).await?;
            let pairs: Vec<_> = question.offers.iter().zip(answers.iter().flatten()).collect();
            out.list(
                &pairs,
                |(offer, answer)| {
                    json!({ "offer": offer, "eligible": answer.is_eligible(), "reason": answer.as_str() })
                },
                |pairs| {
                    let mut table = Table::new([left("offer"), left("eligible"), left("why")]);
                    for (offer, answer) in pairs {
                        let word = if answer.is_eligible() { "yes" } else { "no" };
                        table.row([offer.into(), word.into(), answer.as_str().into()]);
                    }
                    table
                },
            );
        }
        Action::Watch { database, source, after } => watch(database, source, after, out).await?,
    }
    Ok(Ending::Done)
}

async fn watch(
    database: DatabaseArgs,
    source: Option<String>,
    after: Option<Position>,
    out: Out,
) -> Result<()> {
    let source = source.map(|source| SourceName::parse(&source)).transpose()?;
    let store = database.connect().await?;
    let client = store.client().await?;
    let mut at = match after {
        Some(after) => after,
        None => offers::position(&client).await?,
    };
    loop {
        let slice = offers::changes_after(&client, source.as_ref(), at, PAGE).await?;
        if slice.lost {
            say("some changes behind that place are not kept any more");
        }
        for change in &slice.changes {
            let printed =
                if out.json() { out.try_line(change_json(change)) } else { out.try_line(told(change)) };
            // Nobody reads any more.
            if printed.is_err() {
                return Ok(());
            }
        }
        at = slice.upto;
        if !slice.more {
            sleep(LOOK_EVERY).await;
        }
    }
}

fn table(found: &[OfferRecord]) -> Table {
    let mut table =
        Table::new([left("offer"), left("state"), left("since"), words("app"), words("campaign")]);
    for record in found {
        table.row([
            (&record.offer_id).into(),
            state_cell(record.state.as_str()),
            record.state_at.map_or_else(|| "only described".to_owned(), clock).into(),
            or_dash(record.app_id.as_ref()),
            or_dash(record.campaign_id.as_ref()),
        ]);
    }
    table
}

fn json(record: &OfferRecord) -> Value {
    json!({
        "offer": record.offer_id,
        "state": record.state.as_str(),
        "state_at": record.state_at.map(stamp),
        "app_id": record.app_id,
        "campaign_id": record.campaign_id,
        "first_seen_at": stamp(record.first_seen_at),
        "updated_at": stamp(record.updated_at),
    })
}

/// With what the provider says of it.
fn whole(record: &OfferRecord) -> Value {
    let mut whole = json(record);
    let data = serde_json::from_str(&record.data).unwrap_or_else(|_| Value::from(record.data.as_str()));
    set(&mut whole, "data", data);
    set(&mut whole, "data_at", record.data_at.map(stamp));
    whole
}

fn text(record: &OfferRecord) -> String {
    let (seen, updated) = (clock(record.first_seen_at), clock(record.updated_at));
    let said = record.data_at.map_or_else(|| "with its removal".to_owned(), clock);
    format!(
        "{}\n    first heard of {seen}, changed {updated}\n    said {said}: {}",
        line(record),
        printable(&record.data)
    )
}

/// `id state since when`, and what it belongs to.
fn line(record: &OfferRecord) -> String {
    let since = record.state_at.map_or_else(|| "only described".to_owned(), clock);
    let of = [("app", &record.app_id), ("campaign", &record.campaign_id)];
    let of: String =
        of.into_iter().filter_map(|(name, id)| id.as_ref().map(|id| format!(", {name} {id}"))).collect();
    format!("{:20} {:7} {since}{of}", record.offer_id, record.state.as_str())
}

fn change_json(change: &Change) -> Value {
    let Change { position, change } = change;
    json!({
        "position": position.to_string(),
        "source": change.source.as_str(),
        "kind": change.kind.as_str(),
        "subject": change.subject,
        "state": change.state.as_str(),
        "changed_at": stamp(change.changed_at),
    })
}

/// A change on one line.
fn told(change: &Change) -> String {
    let Change { position, change } = change;
    let at: Timestamp = change.changed_at;
    let (kind, subject, state) = (change.kind.as_str(), &change.subject, change.state.as_str());
    format!("{position} {} {kind} {subject} {state} since {}", change.source, clock(at))
}

#[cfg(test)]
mod tests {
    use matchpurse_store::offers::{ChangeKind, NewChange, State};

    use super::*;

    #[test]
    fn an_offer_and_a_change_are_a_line_each() {
        let mut record = OfferRecord {
            offer_id: "1234567894561234567".to_owned(),
            state: OfferState::Removed,
            state_at: Some(Timestamp::from_seconds(1_790_000_000)),
            data: "{}".to_owned(),
            data_at: None,
            app_id: Some("1".to_owned()),
            campaign_id: None,
            first_seen_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        assert_eq!(line(&record), "1234567894561234567  removed 2026-09-21 14:13:20, app 1");
        record.state = OfferState::Active;
        record.state_at = None;
        record.app_id = None;
        assert_eq!(line(&record), "1234567894561234567  active  only described");
        let change = Change {
            position: Position { xid: 12, id: 3 },
            change: NewChange {
                source: SourceName::parse("wall").unwrap(),
                kind: ChangeKind::OfferRestored,
                subject: "7".to_owned(),
                state: State::Offer(OfferState::Active),
                changed_at: Timestamp::from_seconds(1_790_000_000),
            },
        };
        assert_eq!(told(&change), "12-3 wall offer.restored 7 active since 2026-09-21 14:13:20");
    }
}
