//! `matchpurse explain`: the whole story of one event, match, contest, grant, offer or player.

use anyhow::Result;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload, WhichKey};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_store::story::{self, EventStory, Fate, Found, Line};
use matchpurse_store::{Client, Store};
use serde_json::{Value, json};

use crate::anomalies::{figures_json, figures_text};
use crate::config::DatabaseArgs;
use crate::exit::{Ending, usage};
use crate::member::set;
use crate::moment::{clock_ms as moment, printable, stamp};
use crate::money::{Coins, amount};
use crate::out::{Out, Paint};
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
    coins: Coins<'p>,
    out: Out,
    whole_bodies: bool,
    /// The day that was shown last.
    day: Option<String>,
}

/// Prints the story; an id that nobody knows is a failure.
pub(crate) async fn run(args: ExplainArgs, out: Out) -> Result<Ending> {
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
        _ => return Err(usage("give one id, or a source's name and an id")),
    };
    if found.is_empty() {
        say(&format!("nothing is known of {}", args.id.join(" ")));
        return Ok(Ending::Found);
    }
    if out.json() {
        for found in found {
            out.value(&as_json(&store, &client, found).await?);
        }
        return Ok(Ending::Done);
    }
    let mut page = Page { coins: Coins(settings.as_ref()), out, whole_bodies: args.body, day: None };
    for (nth, found) in found.into_iter().enumerate() {
        if nth > 0 {
            out.line("");
        }
        page.day = None;
        match found {
            Found::Event(id) => page.event(&store, &client, id).await?,
            Found::Subject(source, subject) => page.subject(&client, &source, &subject).await?,
            Found::Player(source, player) => page.player(&client, &source, &PlayerId::new(player)).await?,
        }
    }
    Ok(Ending::Done)
}

/// One of what was found, for programs.
async fn as_json(store: &Store, client: &Client, found: Found) -> Result<Value> {
    let lines = |lines: &[Line]| lines.iter().map(line_json).collect::<Value>();
    match found {
        Found::Event(id) => {
            let Some(story) = story::of_event(client, id).await? else {
                let day = store.left_archive(id).await?;
                return Ok(json!({ "event_id": id.to_string(), "left_the_archive_with": day }));
            };
            let event = Event { raw: Default::default(), ..story.event.clone() };
            let body = &story.event.raw;
            let body = serde_json::from_slice(body)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body).into_owned()));
            let workers = story
                .workers
                .iter()
                .map(|(queue, fate)| json!({ "worker": queue.worker(), "fate": fate_in_words(fate) }));
            let mut whole = json!({
                "event_id": id.to_string(),
                "archived_at": stamp(story.archived_at),
                "seq": story.seq,
                "day": story.day,
                "hash": crate::verify_archive::hex(&story.hash),
                "verified": vouched(&story.event),
                "workers": workers.collect::<Vec<_>>(),
                "body": body,
            });
            set(&mut whole, "event", serde_json::to_value(v1::Event::from(event))?);
            set(&mut whole, "effects", lines(&story.effects));
            Ok(whole)
        }
        Found::Subject(source, subject) => {
            let figures = story::of_match(client, &source, &subject).await?;
            let story = story::of_subject(client, &source, &subject).await?;
            Ok(json!({
                "source": source.as_str(),
                "subject": subject,
                "matches": figures.iter().map(figures_json).collect::<Vec<_>>(),
                "lines": lines(&story),
            }))
        }
        Found::Player(source, player) => {
            let story = story::of_player(client, &source, &PlayerId::new(player.clone())).await?;
            let balances = story.iter().flat_map(|story| &story.balances).map(|(balance, currency, ours)| {
                json!({ "balance": amount(*balance, currency), "held_by": if *ours { "studio" } else { "provider" } })
            });
            Ok(json!({
                "source": source.as_str(),
                "player": player,
                "balances": balances.collect::<Vec<_>>(),
                "lines": story.as_ref().map(|story| lines(&story.lines)),
            }))
        }
    }
}

fn line_json(line: &Line) -> Value {
    json!({
        "at": stamp(line.at),
        "what": line.what,
        "detail": line.detail,
        "amount": line.amount.as_ref().map(|(minor, currency)| amount(*minor, currency)),
    })
}

impl Page<'_> {
    async fn subject(&mut self, client: &Client, source: &SourceName, subject: &str) -> Result<()> {
        self.heading(&format!("{subject} of source {source}"));
        for found in story::of_match(client, source, subject).await? {
            self.out.line(figures_text(&found, self.coins));
        }
        let lines = story::of_subject(client, source, subject).await?;
        self.lines(&lines);
        Ok(())
    }

    async fn player(&mut self, client: &Client, source: &SourceName, player: &PlayerId) -> Result<()> {
        self.heading(&format!("player {player} of source {source}"));
        let Some(story) = story::of_player(client, source, player).await? else { return Ok(()) };
        for (balance, currency, ours) in &story.balances {
            let balance = self.coins.shown(*balance, currency);
            if *ours {
                self.out.line(format_args!("has {balance}, which the studio holds"));
            } else {
                self.out.line(format_args!("has won or lost {balance}, which the provider holds"));
            }
        }
        self.lines(&story.lines);
        Ok(())
    }

    async fn event(&mut self, store: &Store, client: &Client, id: EventId) -> Result<()> {
        let Some(story) = story::of_event(client, id).await? else {
            let day = store.left_archive(id).await?.unwrap_or_else(|| "a day that is not known".to_owned());
            self.out.line(format_args!(
                "event {id} was archived on {day}, which has left the archive: look into its export"
            ));
            return Ok(());
        };
        let event = &story.event;
        self.heading(&format!("event {id} of source {} ({})", event.source, event.provider));
        self.out.line(format_args!(
            "  what      {}{}",
            event.payload.name().as_str(),
            quoted(&event.provider_type)
        ));
        if !event.subject.is_empty() {
            self.out.line(format_args!(
                "  about     {}; all of it: matchpurse explain {} {}",
                event.subject, event.source, event.subject
            ));
        }
        if let Some(at) = event.occurred_at {
            self.out.line(format_args!("  happened  {} by the provider's clock", moment(at)));
        }
        self.received(&story);
        self.out.line(format_args!("  verified  {}", vouched(event)));
        self.out.line(format_args!(
            "  archived  {} as row {} of the source's chain, kept under {}, hash {}…",
            moment(story.archived_at),
            story.seq,
            story.day,
            story.hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
        ));
        for (queue, fate) in &story.workers {
            self.out.line(format_args!("  {:9} {}: {}", "worker", queue.worker(), fate_in_words(fate)));
        }
        self.out.line(format_args!("  says      {}", normalized(event)?));
        if !event.raw.is_empty() {
            self.out.line(format_args!("  body      {}", self.body(event)));
        }
        if story.effects.is_empty() {
            self.out.line(format_args!("nothing was moved by it that would still name it as its cause"));
        } else {
            self.out.line(format_args!("what came of it"));
            self.lines(&story.effects);
        }
        Ok(())
    }

    fn heading(&self, text: &str) {
        self.out.line(self.out.painted(Some(Paint::Heading), &printable(text)));
    }

    fn received(&self, story: &EventStory) {
        let event = &story.event;
        let request = event.provenance.vouched.map_or("request", |vouched| vouched.method.as_str());
        let size = match event.raw.len() {
            0 => "a body that is not kept here".to_owned(),
            bytes => format!("a body of {bytes} bytes"),
        };
        self.out.line(format_args!(
            "  received  {}, a {request} with {size}, delivery {}",
            moment(event.received_at),
            event.delivery_id
        ));
        if story.delivery.len() > 1 {
            let nth = story.delivery.iter().position(|(id, ..)| *id == event.id).map_or(0, |at| at + 1);
            self.out.line(format_args!(
                "            event {nth} of {} that the delivery brought:",
                story.delivery.len()
            ));
            for (id, payload, subject) in &story.delivery {
                self.out.line(format_args!("              {id} {payload} {subject}"));
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
                self.out.line(format_args!("  {day}"));
                self.day = Some(day.to_owned());
            }
            let amount = line
                .amount
                .as_ref()
                .map(|(amount, currency)| format!("{} ", self.coins.shown(*amount, currency)));
            self.out.line(format_args!(
                "    {clock} {:11} {}{}",
                line.what.replace('_', " "),
                amount.unwrap_or_default(),
                line.detail
            ));
        }
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
