//! `matchpurse players erase`: a player's personal data, erased on request.

use anyhow::Result;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_operations::erasures::{Author, begin, finish};
use matchpurse_store::erasure::{Begun, Erasure, Open};
use matchpurse_store::links::Identity;
use serde_json::{Value, json};

use crate::author::{AuthorArgs, KeyArgs};
use crate::config::DatabaseArgs;
use crate::exit::Ending;
use crate::moment::{printable, stamp};
use crate::money::{Coins, amount};
use crate::out::Out;
use crate::progress::Progress;

/// What `players erase` takes
#[derive(Debug, clap::Args)]
pub(crate) struct EraseArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The source's name
    source: String,
    /// The provider's id of the player
    player: String,
    #[command(flatten)]
    author: AuthorArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Say what is open and which rows name the player, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Erases, or says what is in the way.
pub(crate) async fn run(args: EraseArgs, out: Out) -> Result<Ending> {
    let EraseArgs { database, source, player, author, key, dry_run } = args;
    let identity = Identity { source: SourceName::parse(&source)?, player_id: PlayerId::new(player) };
    let (actor, reason) = author.said()?;
    let author = Author { actor, reason, idempotency_key: key.key()? };
    let (store, settings) = database.open().await?;
    match begin(&store, &identity, &author, dry_run).await? {
        Begun::Open(open) => {
            let coins = Coins(settings.as_ref());
            out.thing(
                || json!({ "state": "open", "open": open.iter().map(open_json).collect::<Vec<_>>() }),
                || {
                    let lines: Vec<String> = open.iter().map(|one| open_text(one, coins)).collect();
                    format!("nothing was changed; open is\n{}", lines.join("\n"))
                },
            );
            Ok(if dry_run { Ending::Found } else { Ending::Failed })
        }
        Begun::Begun(erasure) | Begun::Known(erasure) if dry_run => {
            out.thing(|| outline(&erasure, "dry_run"), || would(&erasure));
            Ok(Ending::Done)
        }
        Begun::Begun(erasure) | Begun::Known(erasure) => {
            let progress = Progress::begin("going through what may name the player", None);
            let erasure = finish(&store, erasure.id, &mut || progress.step()).await?;
            drop(progress);
            out.thing(|| outline(&erasure, "finished"), || text(&erasure));
            Ok(Ending::Done)
        }
    }
}

fn outline(erasure: &Erasure, state: &str) -> Value {
    json!({
        "state": state,
        "id": erasure.id.to_string(),
        "source": erasure.source,
        "pseudonym": erasure.pseudonym,
        "actor": erasure.actor,
        "reason": erasure.reason,
        "changed": erasure.changed,
        "bodies": erasure.bodies,
        "days_left": erasure.days_left,
        "came_back": erasure.came_back,
        "began_at": stamp(erasure.began_at),
        "finished_at": erasure.finished_at.map(stamp),
    })
}

fn open_json(open: &Open) -> Value {
    let money = open.amount.zip(open.currency.as_deref());
    json!({
        "what": open.what,
        "about": open.about,
        "amount": money.map(|(minor, currency)| amount(minor, currency)),
    })
}

/// `match m1, 10.00 USD held`.
fn open_text(open: &Open, coins: Coins<'_>) -> String {
    let money = open.amount.zip(open.currency.as_deref());
    let money = money.filter(|(minor, _)| *minor != 0).map(|(minor, currency)| coins.shown(minor, currency));
    let money = money.map_or_else(String::new, |money| format!(": {money}"));
    format!("    {} {}{money}", open.what, printable(&open.about))
}

/// `3 of account, 2 of transfer`.
fn counted(erasure: &Erasure) -> String {
    let tables: Vec<String> =
        erasure.changed.iter().map(|(table, rows)| format!("{rows} of {table}")).collect();
    if tables.is_empty() { "no row".to_owned() } else { tables.join(", ") }
}

fn would(erasure: &Erasure) -> String {
    format!(
        "nothing is open; by the player's key there would change {}; then the archive and every other text would be \
         gone through. Nothing was changed",
        counted(erasure)
    )
}

fn text(erasure: &Erasure) -> String {
    let Erasure { id, pseudonym, bodies, days_left, came_back, .. } = erasure;
    if erasure.changed.is_empty() {
        return format!("erasure {id}: nothing that is stored names this player; nothing was changed");
    }
    let mut text = format!(
        "erasure {id}: the player is {pseudonym} from now on; changed: {}; {bodies} bodies are gone",
        counted(erasure)
    );
    if !days_left.is_empty() {
        text.push_str("\nout of reach, because they had left the archive before: the tables and files of ");
        text.push_str(&days_left.join(", "));
    }
    if *came_back {
        text.push_str("\nthe source has told of this id again meanwhile; that is kept as a new person's");
    }
    text
}
