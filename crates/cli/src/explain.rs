//! `matchpurse explain`: the whole story of one event, match, contest, grant, offer or player.

use std::process::ExitCode;

use anyhow::{Result, bail};
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload, WhichKey};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::money::{format_major, known_exponent};
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::story::{self, EventStory, Fate, Found, Line};
use matchpurse_store::{Client, Store};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::config::DatabaseArgs;
use crate::say;

/// How much of a body is shown without being asked for, in characters.
const BODY_SHOWN: usize = 1_500;

/// What came in, who vouched for it, what it says, what it moved, whom it was told
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The id of an event, delivery, grant, notice, operation or correction; or the provider's id of a match, contest,
    /// offer or player, with the source's name before it where several sources have it
    #[arg(value_name = "[SOURCE] ID", num_args = 1..=2, required = true)]
    id: Vec<String>,
    /// Show whole bodies
    #[arg(long)]
    body: bool,
}

/// What amounts and bodies are shown with.
struct Page<'p> {
    settings: Option<&'p Settings>,
    whole_bodies: bool,
    /// The day that was shown last.
    day: Option<String>,
}

/// Prints the story; an id that nobody knows is a failure.
pub(crate) async fn run(args: ExplainArgs) -> Result<ExitCode> {
    let (store, settings) = args.database.open().await?;
    let client = store.client().await?;
    let found = match &args.id[..] {
        [id] => story::find(&client, id).await?,
        [source, id] => {
            let source = SourceName::parse(source)?;
            let of_source = |found: &Found| match found {
                Found::Event(_) => false,
                Found::Subject(found, _) | Found::Player(found, _) => *found == source,
            };
            story::find(&client, id).await?.into_iter().filter(of_source).collect()
        }
        _ => bail!("give one id, or a source's name and an id"),
    };
    if found.is_empty() {
        say(&format!("nothing is known of {}", args.id.join(" ")));
        return Ok(ExitCode::FAILURE);
    }
    let mut page = Page { settings: settings.as_ref(), whole_bodies: args.body, day: None };
    for (nth, found) in found.into_iter().enumerate() {
        if nth > 0 {
            println!();
        }
        page.day = None;
        match found {
            Found::Event(id) => page.event(&store, &client, id).await?,
            Found::Subject(source, subject) => page.subject(&client, &source, &subject).await?,
            Found::Player(source, player) => page.player(&client, &source, &PlayerId::new(player)).await?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Page<'_> {
    async fn subject(&mut self, client: &Client, source: &SourceName, subject: &str) -> Result<()> {
        println!("{subject} of source {source}");
        for found in story::of_match(client, source, subject).await? {
            let [pot, paid, refunded, fee, held] =
                found.amounts.map(|amount| self.shown(amount, &found.currency));
            println!(
                "{}: pot {pot}, paid {paid}, back {refunded}, fee {fee}, in escrow now {held}",
                found.state
            );
        }
        let lines = story::of_subject(client, source, subject).await?;
        self.lines(&lines);
        Ok(())
    }

    async fn player(&mut self, client: &Client, source: &SourceName, player: &PlayerId) -> Result<()> {
        println!("player {player} of source {source}");
        let Some(story) = story::of_player(client, source, player).await? else { return Ok(()) };
        for (balance, currency, ours) in &story.balances {
            let balance = self.shown(*balance, currency);
            if *ours {
                println!("has {balance}, which the studio holds");
            } else {
                println!("has won or lost {balance}, which the provider holds");
            }
        }
        self.lines(&story.lines);
        Ok(())
    }

    async fn event(&mut self, store: &Store, client: &Client, id: EventId) -> Result<()> {
        let Some(story) = story::of_event(client, id).await? else {
            let day = store.left_archive(id).await?.unwrap_or_else(|| "a day that is not known".to_owned());
            println!("event {id} was archived on {day}, which has left the archive: look into its export");
            return Ok(());
        };
        let event = &story.event;
        println!("event {id} of source {} ({})", event.source, event.provider);
        println!("  what      {}{}", event.payload.name().as_str(), quoted(&event.provider_type));
        if !event.subject.is_empty() {
            println!(
                "  about     {}; all of it: matchpurse explain {} {}",
                event.subject, event.source, event.subject
            );
        }
        if let Some(at) = event.occurred_at {
            println!("  happened  {} by the provider's clock", moment(at));
        }
        self.received(&story);
        println!("  verified  {}", vouched(event));
        println!(
            "  archived  {} as row {} of the source's chain, kept under {}, hash {}…",
            moment(story.archived_at),
            story.seq,
            story.day,
            story.hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
        );
        for (queue, fate) in &story.workers {
            println!("  {:9} {}: {}", "worker", queue.worker(), fate_in_words(fate));
        }
        println!("  says      {}", normalized(event)?);
        if !event.raw.is_empty() {
            println!("  body      {}", self.body(event));
        }
        if story.effects.is_empty() {
            println!("nothing was moved by it that would still name it as its cause");
        } else {
            println!("what came of it");
            self.lines(&story.effects);
        }
        Ok(())
    }

    fn received(&self, story: &EventStory) {
        let event = &story.event;
        let request = event.provenance.vouched.map_or("request", |vouched| vouched.method.as_str());
        let size = match event.raw.len() {
            0 => "a body that is not kept here".to_owned(),
            bytes => format!("a body of {bytes} bytes"),
        };
        println!(
            "  received  {}, a {request} with {size}, delivery {}",
            moment(event.received_at),
            event.delivery_id
        );
        if story.delivery.len() > 1 {
            let nth = story.delivery.iter().position(|(id, ..)| *id == event.id).map_or(0, |at| at + 1);
            println!("            event {nth} of {} that the delivery brought:", story.delivery.len());
            for (id, payload, subject) in &story.delivery {
                println!("              {id} {payload} {subject}");
            }
        }
    }

    /// The body as text, as much of it as is worth reading.
    fn body(&self, event: &Event) -> String {
        let Ok(text) = str::from_utf8(&event.raw) else {
            return "is no text; the export has it in Base64".to_owned();
        };
        let text = text.trim_end();
        match text.char_indices().nth(BODY_SHOWN) {
            Some((end, _)) if !self.whole_bodies => {
                format!("{}… (--body shows all)", text.get(..end).unwrap_or_default())
            }
            _ => text.to_owned(),
        }
    }

    /// The lines with their times, and the day where it changes.
    fn lines(&mut self, lines: &[Line]) {
        for line in lines {
            let at = moment(line.at);
            let (day, clock) = at.split_once(' ').unwrap_or(("", &at));
            if self.day.as_deref() != Some(day) {
                println!("  {day}");
                self.day = Some(day.to_owned());
            }
            let amount =
                line.amount.as_ref().map(|(amount, currency)| format!("{} ", self.shown(*amount, currency)));
            println!(
                "    {clock} {:11} {}{}",
                line.what.replace('_', " "),
                amount.unwrap_or_default(),
                line.detail
            );
        }
    }

    /// An amount as people write it; of a coin that is no currency of the world the configuration knows the decimal
    /// places.
    fn shown(&self, amount: i64, currency: &str) -> String {
        let configured = || {
            let mut sources = self.settings?.sources.values().map(|source| &source.policy().currency);
            Some(sources.find(|known| known.code.as_str() == currency)?.exponent)
        };
        let exponent = known_exponent(currency).or_else(configured).unwrap_or(0);
        format!("{} {currency}", format_major(amount, exponent))
    }
}

/// What an event says, as JSON; the provider's own body stands below it.
fn normalized(event: &Event) -> Result<String> {
    if let Payload::Unrecognized(why) = &event.payload {
        return Ok(format!("it is not understood: {}", why.reason));
    }
    let said = Event { raw: Default::default(), ..event.clone() };
    let mut said = serde_json::to_value(v1::Event::from(said))?;
    if let Some(fields) = said.as_object_mut() {
        for known in [
            "id",
            "deliveryId",
            "source",
            "provider",
            "providerType",
            "subject",
            "occurredAt",
            "receivedAt",
            "provenance",
        ] {
            fields.remove(known);
        }
    }
    Ok(serde_json::to_string(&said)?)
}

/// Who vouched for it, and for how much of it.
fn vouched(event: &Event) -> String {
    let covered = if event.provenance.body_authenticated {
        "the signature covers the whole body"
    } else {
        "only the caller was authenticated, so amounts in the body are checked before money moves"
    };
    let key = event.provenance.vouched.map_or_else(
        || "by a key of the source (which one was not noted then)".to_owned(),
        |vouched| {
            let which = vouched.which.map_or_else(
                || " (which of them was not noted then)".to_owned(),
                |which| which_of_them(&which),
            );
            format!("by the source's {} key{which}", vouched.key.as_str())
        },
    );
    let rounded =
        if event.provenance.amount_rounded { "; an amount was rounded by less than a millionth" } else { "" };
    format!("{key}; {covered}{rounded}")
}

/// Which of the keys it was that were active then.
fn which_of_them(which: &WhichKey) -> String {
    let place = match (which.place.get(), which.of) {
        (1, 1) => ", the only one then".to_owned(),
        (place, of) => format!(", number {place} of the {of} of the configuration then"),
    };
    let print = which.fingerprint.map(|print| format!(" (public key {print})")).unwrap_or_default();
    place + &print
}

fn fate_in_words(fate: &Fate) -> String {
    match fate {
        Fate::Applied(at) => format!("applied {}", moment(*at)),
        Fate::Tried { attempts, error } => format!("tried {attempts} times and not applied yet: {error}"),
        Fate::Parked { id, reason, resolved: None } => {
            format!("parked as #{id}, nobody has decided: {reason}")
        }
        Fate::Parked { id, reason, resolved: Some((resolution, by)) } => {
            format!("parked as #{id}, {resolution} by {by}: {reason}")
        }
        Fate::Unknown => "not applied yet, or longer ago than is remembered".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", by the provider's word {text:?}") }
}

/// A day and time with milliseconds, UTC.
fn moment(at: Timestamp) -> String {
    const SHOWN: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
    let shown = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()) * 1000).ok();
    // No year that the calendar does not have comes from a clock.
    shown.and_then(|at| at.format(SHOWN).ok()).unwrap_or_else(|| format!("{} s", at.seconds()))
}
