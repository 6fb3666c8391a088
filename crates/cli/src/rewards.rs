//! `matchpurse rewards`: see grants, and decide about those that a person must look at.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use matchpurse_domain::grants::{GrantKind, GrantState};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{Money, format_major, known_exponent};
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::rewards::{Author, Done, release, retry, reverse};
use matchpurse_settings::Settings;
use matchpurse_store::dispatch::{self, Because, DeliveryFilter};
use matchpurse_store::grants::{self, GrantFilter, GrantLine};
use matchpurse_store::redemptions::{self, CallFilter, CallLine, CallState};
use matchpurse_store::{Client, now};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use uuid::Uuid;

use crate::config::DatabaseArgs;
use crate::say;

/// The most deliveries of one grant that are shown.
const DELIVERIES_MAX: i64 = 100;

/// See rewards, and decide about those that a person must look at
#[derive(Debug, clap::Args)]
pub(crate) struct RewardsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the newest
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those in this state: reserved, granted, needs_review, recorded, released, delivering, fulfilled,
        /// failed, reversed
        #[arg(long, value_parser = state)]
        state: Option<GrantState>,
        /// Only those of this source
        #[arg(long)]
        source: Option<String>,
        /// Only those of this player of the source
        #[arg(long, requires = "source")]
        player: Option<String>,
        /// Only those of this contest of the source, by the provider's id
        #[arg(long, requires = "source")]
        contest: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show all that is known of one
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
    },
    /// Show what providers are told of rewards that were given: who knows, and what waits for a person. `retry` of one of
    /// the grants has such a call made again
    Calls {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those in this state: held, waiting, told, refused, given_up, withdrawn
        #[arg(long, value_parser = call_state)]
        state: Option<CallState>,
        /// Only those of this source
        #[arg(long)]
        source: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Give one that is held for review
    Release {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Take one back, or decide against one that is held for review
    Reverse {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Have the studio told of one now, under the same ids, where its endpoints could not be reached; and the provider,
    /// where it could not be told that it was given
    Retry {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
        /// Makes a repeat of this command harmless; without it the command is another retry each time
        #[arg(long)]
        key: Option<String>,
    },
}

/// Who does something, and why
#[derive(Debug, clap::Args)]
pub(crate) struct AuthorArgs {
    /// Who you are; it is recorded
    #[arg(long)]
    actor: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: String,
}

impl AuthorArgs {
    /// Who, and why.
    pub(crate) fn author(self) -> Result<Author> {
        let Self { actor, reason } = self;
        ensure!(!actor.trim().is_empty() && !reason.trim().is_empty(), "say who you are, and why");
        Ok(Author { actor, reason })
    }
}

fn state(text: &str) -> Result<GrantState, String> {
    GrantState::parse(text).ok_or_else(|| {
        let states = GrantState::ALL.map(GrantState::as_str);
        format!("there are {}", states.join(", "))
    })
}

fn call_state(text: &str) -> Result<CallState, String> {
    CallState::parse(text).ok_or_else(|| {
        let states = CallState::ALL.map(CallState::as_str);
        format!("there are {}", states.join(", "))
    })
}

/// Shows or decides.
pub(crate) async fn run(args: RewardsArgs) -> Result<ExitCode> {
    match args.action {
        Action::List { database, state, source, player, contest, limit } => {
            let source = source.map(|source| SourceName::parse(&source)).transpose()?;
            let whose = source.map(|source| (source, player.map(PlayerId::new)));
            let (store, settings) = database.open().await?;
            let client = store.client().await?;
            let lines =
                grants::list(&client, &GrantFilter { state, whose, contest, before: None }, limit).await?;
            if lines.is_empty() {
                say("there are none");
            }
            for line in &lines {
                print_line(line, settings.as_ref());
            }
        }
        Action::Show { database, grant } => {
            let (store, settings) = database.open().await?;
            let client = store.client().await?;
            let line = grants::find(&client, grant).await?.context("there is no such grant")?;
            print_whole(&client, &line, settings.as_ref()).await?;
        }
        Action::Calls { database, state, source, limit } => {
            let (store, _) = database.open().await?;
            let client = store.client().await?;
            let filter = CallFilter { state, source: source.as_deref() };
            let lines = redemptions::calls(&client, filter, limit).await?;
            if lines.is_empty() {
                say("there are none");
            }
            for line in &lines {
                println!("{}", call_with_its_grant(line));
            }
        }
        Action::Release { database, grant, author } => {
            let (store, settings) = database.open().await?;
            let done = release(&store, grant, &author.author()?, now()).await?;
            print_done(&done, "released", settings.as_ref());
        }
        Action::Reverse { database, grant, author } => {
            let (store, settings) = database.open().await?;
            let done = reverse(&store, grant, &author.author()?, now()).await?;
            print_done(&done, "taken back", settings.as_ref());
            if done.grant.grant.kind == GrantKind::Credit {
                say("the provider keeps the player's money for it until it is returned there");
            }
        }
        Action::Retry { database, grant, author, key } => {
            let (store, settings) = database.open().await?;
            let key = key.unwrap_or_else(|| format!("command line, {}", now().micros()));
            let done = retry(&store, grant, &author.author()?, &key, now()).await?;
            print_done(&done, "told again", settings.as_ref());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_done(done: &Done, what: &str, settings: Option<&Settings>) {
    let Done { grant, operation, repeated } = done;
    print_line(grant, settings);
    let before = if *repeated { " before; nothing was done now" } else { "" };
    say(&format!("it was {what}{before}, operation {operation}"));
}

fn print_line(line: &GrantLine, settings: Option<&Settings>) {
    println!("{}", text(line, settings));
}

/// `id state what for whom, by what`, and below it why it is held.
fn text(line: &GrantLine, settings: Option<&Settings>) -> String {
    let GrantLine { id, contest, slot, grant, .. } = line;
    let what = what(line, settings);
    let reference = if slot.reward_ref.is_empty() { String::new() } else { format!(", {}", slot.reward_ref) };
    let held = grant.reason.map_or_else(String::new, |reason| {
        let detail = grant.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        format!("\n    held for {}{detail}", reason.as_str())
    });
    format!(
        "{id} {:12} {what} for player {}: {} {} of {}{reference}{held}",
        grant.state.as_str(),
        slot.player_id,
        contest.kind.as_str(),
        contest.contest_id,
        contest.source
    )
}

/// `points 1.50 USD`, `studio drink-1`.
fn what(line: &GrantLine, settings: Option<&Settings>) -> String {
    let grant = &line.grant;
    let amount = grant.amount.as_ref().map(|money| shown(money, &line.contest.source, settings));
    [Some(grant.kind.as_str().to_owned()), amount, grant.value.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// An amount as people write it; of a studio's own coin the configuration knows the decimal places.
fn shown(money: &Money, source: &SourceName, settings: Option<&Settings>) -> String {
    let configured = settings.and_then(|settings| settings.sources.get(source));
    let exponent = known_exponent(money.currency.as_str())
        .or_else(|| configured.map(|source| source.policy().currency.exponent));
    format!("{} {}", format_major(money.minor_units, exponent.unwrap_or(0)), money.currency)
}

async fn print_whole(client: &Client, line: &GrantLine, settings: Option<&Settings>) -> Result<()> {
    print_line(line, settings);
    if let Some(payload) = &line.grant.payload {
        println!("    came along: {payload}");
    }
    println!("    first heard of {}, changed {}", clock(line.created_at), clock(line.updated_at));
    println!("    by event or operation {}", line.cause);
    for done in grants::operations(client, line.id).await? {
        println!("  {} {} by {}: {}", clock(done.at), done.kind, done.actor, done.reason);
    }
    let subject = line.id.to_string();
    let source = line.contest.source.as_str();
    let filter = DeliveryFilter { subject: Some((source, &subject)), ..DeliveryFilter::default() };
    for delivery in dispatch::deliveries(client, &filter, DELIVERIES_MAX).await?.iter().rev() {
        let last = delivery.last.as_ref().map_or_else(String::new, |last| {
            let status = last.status.map_or_else(String::new, |status| format!(" {status}"));
            let words = if last.detail.is_empty() { String::new() } else { format!(", {:?}", last.detail) };
            format!(", last {}{status} at {}{words}", last.outcome.as_str(), clock(last.at))
        });
        let because = delivery.because.map_or("", in_words);
        println!(
            "  {} {} to {}: {}{because} after {} attempts{last}",
            clock(delivery.created_at),
            delivery.kind,
            delivery.endpoint,
            delivery.state.as_str(),
            delivery.attempts
        );
    }
    if let Some(line) = redemptions::of_grant(client, line.id).await? {
        println!("  {}", call(&line));
    }
    Ok(())
}

/// Why a delivery ended without having been tried to its end.
pub(crate) const fn in_words(because: Because) -> &'static str {
    match because {
        Because::EndpointRemoved => " because the endpoint was removed: a retry hands it on",
        Because::HandedOn => " because others got it: the endpoint was removed",
    }
}

/// `grant call: told after 1 attempts, …`
fn call_with_its_grant(line: &CallLine) -> String {
    let grant = line.grant_id.map_or_else(|| "no grant".to_owned(), |grant| grant.to_string());
    let (kind, contest) = (line.contest_kind.as_str(), &line.contest_id);
    format!("{grant} player {}: {kind} {contest} of {}\n    {}", line.player_id, line.source, call(line))
}

/// Whether the provider knows that the player has got what was won.
fn call(line: &CallLine) -> String {
    let CallLine { state, attempts, redeemed_at, next_attempt_at, last, last_status, last_detail, .. } = line;
    let why = match state {
        CallState::Held => ": other rewards of the player are on their way",
        CallState::Withdrawn => ": what was given has been taken back",
        _ => "",
    };
    let next = next_attempt_at.map_or_else(String::new, |at| format!(", next at {}", clock(at)));
    let last = last.map_or_else(String::new, |(outcome, at)| {
        let status = last_status.map_or_else(String::new, |status| format!(" {status}"));
        let words = if last_detail.is_empty() { String::new() } else { format!(", {last_detail:?}") };
        format!(", last {}{status} at {}{words}", outcome.as_str(), clock(at))
    });
    let state = state.as_str();
    format!(
        "given {}, the provider's call {state}{why} after {attempts} attempts{next}{last}",
        clock(*redeemed_at)
    )
}

/// A day and time, UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    const SHOWN: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let shown = OffsetDateTime::from_unix_timestamp(at.seconds()).ok().and_then(|at| at.format(SHOWN).ok());
    // No year that the calendar does not have comes from a clock.
    shown.unwrap_or_else(|| format!("{} s", at.seconds()))
}

#[cfg(test)]
mod tests {
    use matchpurse_domain::grants::{ContestKey, ContestKind, Grant, ReviewReason, Slot};
    use matchpurse_domain::ids::EventId;
    use matchpurse_domain::money::CurrencyCode;
    use matchpurse_store::dispatch::AttemptOutcome;

    use super::*;

    #[test]
    fn a_grant_is_one_line_and_why_it_is_held_another() {
        let mut line = GrantLine {
            id: Uuid::nil(),
            contest: ContestKey {
                source: SourceName::parse("wall").unwrap(),
                kind: ContestKind::Postback,
                contest_id: "c1".to_owned(),
            },
            slot: Slot { player_id: "ann".into(), reward_ref: "c1".to_owned() },
            grant: Grant {
                kind: GrantKind::Points,
                state: GrantState::Granted,
                reason: None,
                detail: None,
                amount: Some(Money::new(150, CurrencyCode::parse("GEM").unwrap())),
                value: None,
                payload: None,
            },
            cause: EventId::from_uuid(Uuid::nil()),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let settings = "database.url = \"postgres://db/app\"\n[sources.wall]\nprovider = \"p\"\ncurrency = \"GEM\"\n\
                        currency_exponent = 1\ncustody = \"provider\"";
        let settings = Settings::parse_str(settings).unwrap();
        let id = Uuid::nil();
        assert_eq!(
            text(&line, Some(&settings)),
            format!("{id} granted      points 15.0 GEM for player ann: postback c1 of wall, c1")
        );
        line.slot.reward_ref.clear();
        line.grant = Grant {
            kind: GrantKind::Studio,
            state: GrantState::NeedsReview,
            reason: Some(ReviewReason::PayloadRefused),
            detail: Some("\"sku\" is a required property".to_owned()),
            amount: None,
            value: Some("drink-1".to_owned()),
            ..line.grant
        };
        assert_eq!(
            text(&line, None),
            format!(
                "{id} needs_review studio drink-1 for player ann: postback c1 of wall\n    \
                 held for payload_refused: \"sku\" is a required property"
            )
        );
    }

    #[test]
    fn a_call_tells_whether_the_provider_knows() {
        let mut line = CallLine {
            source: "lounge".to_owned(),
            contest_kind: ContestKind::Contest,
            contest_id: "c1".to_owned(),
            player_id: "ann".to_owned(),
            grant_id: Some(Uuid::nil()),
            state: CallState::Held,
            redeemed_at: Timestamp::default(),
            attempts: 0,
            next_attempt_at: None,
            last: None,
            last_status: None,
            last_detail: String::new(),
        };
        assert_eq!(
            call_with_its_grant(&line),
            format!(
                "{} player ann: contest c1 of lounge\n    given 1970-01-01 00:00:00, the provider's call held: other \
                 rewards of the player are on their way after 0 attempts",
                Uuid::nil()
            )
        );
        line.state = CallState::Waiting;
        line.attempts = 2;
        line.next_attempt_at = Some(Timestamp::from_seconds(300));
        line.last = Some((AttemptOutcome::Refused, Timestamp::from_seconds(5)));
        line.last_status = Some(500);
        line.last_detail = "no".to_owned();
        assert_eq!(
            call(&line),
            "given 1970-01-01 00:00:00, the provider's call waiting after 2 attempts, next at 1970-01-01 00:05:00, \
             last refused 500 at 1970-01-01 00:00:05, \"no\""
        );
    }

    #[test]
    fn a_time_is_shown_with_its_day() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_790_000_000, "2026-09-21 14:13:20"),
            (-1, "1969-12-31 23:59:59"),
            (i64::MAX / 1_000_000, "9223372036854 s"),
        ] {
            assert_eq!(clock(Timestamp::from_seconds(seconds)), expected);
        }
    }
}
