//! A player is erased from everything that there is, and the books still add up.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_event_archive::EventArchive;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_operations::erasures::{Author, begin, finish};
use matchpurse_player_stats::PlayerStats;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_store::erasure::{Begun, step};
use matchpurse_store::links::Identity;
use serde_json::Value;
use uuid::Uuid;

use crate::ground::{Played, deliver, deliver_again};

const BY: [&str; 4] = ["--actor", "olga", "--reason", "the player asked for it"];

/// What changes whenever something is looked at again, and says nothing of anybody.
const PASSING: [&str; 3] = ["inbox", "replay", "attempts"];

impl Played {
    /// Every row of every table, as text, by table: also of tables that nobody has thought of yet.
    async fn everything(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let tables = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables
                       WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
        let mut all = BTreeMap::new();
        for table in self.database.texts(tables).await? {
            let rows = self.database.texts(&format!("SELECT t::text FROM {table} t ORDER BY 1")).await?;
            all.insert(table.replace("public.", ""), rows);
        }
        Ok(all)
    }

    /// Where the player is named: by the id, in whatever column, or by the key that follows from it.
    async fn named(&self, player: &Identity) -> Result<Vec<String>> {
        let id = player.player_id.as_str();
        let forms = [id.to_owned(), hex::encode(id), player.key().to_string()];
        let mut found = Vec::new();
        for (table, rows) in self.everything().await? {
            let naming = rows.into_iter().filter(|row| forms.iter().any(|form| row.contains(form)));
            found.extend(naming.map(|row| format!("{table}: {row}")));
        }
        Ok(found)
    }

    /// What everybody together has, by source, kind of account and currency, and how much ever moved.
    async fn books(&self) -> Result<Vec<String>> {
        self.database
            .texts(
                "SELECT format('%s %s %s %s %s', source, kind, currency, count(*), sum(balance)) FROM account
                  GROUP BY source, kind, currency
                 UNION ALL
                 SELECT format('transfers %s %s %s', kind, count(*), sum(amount)) FROM transfer GROUP BY kind
                 UNION ALL
                 SELECT format('grants %s %s %s', state, count(*), sum(amount)) FROM reward_grant GROUP BY state
                 UNION ALL
                 SELECT format('totals %s %s %s', count(*), sum(kills), sum(matches)) FROM player_totals
                 ORDER BY 1",
            )
            .await
    }

    /// All that the archive has of a source.
    async fn heard(&self, source: &SourceName) -> Result<Vec<Event>> {
        let archived = self.database.store().await?.archived_of(source, None, 0, 100_000).await?;
        Ok(archived.into_iter().map(|archived| archived.event).collect())
    }

    /// The same events once more to everybody, as if the broker had kept them; or as an operator's replay.
    async fn repeat(&self, events: &[Event], replay: bool) -> Result<()> {
        let of = |queue: Queue| -> Vec<Event> {
            events.iter().filter(|event| queue.payloads().contains(&event.payload.name())).cloned().collect()
        };
        let rewards = RewardFulfillment::new(&self.settings)?;
        if replay {
            deliver_again(self, MatchEscrow::new(&self.settings), &of(Queue::MatchEscrow)).await?;
            deliver_again(self, rewards, &of(Queue::RewardFulfillment)).await?;
            deliver_again(self, PlayerStats, &of(Queue::PlayerStats)).await?;
            return deliver_again(self, OfferRemoval, &of(Queue::OfferRemoval)).await;
        }
        deliver(self, EventArchive, events).await?;
        deliver(self, MatchEscrow::new(&self.settings), &of(Queue::MatchEscrow)).await?;
        deliver(self, rewards, &of(Queue::RewardFulfillment)).await?;
        deliver(self, PlayerStats, &of(Queue::PlayerStats)).await?;
        deliver(self, OfferRemoval, &of(Queue::OfferRemoval)).await
    }

    fn erase(&self, player: &Identity, more: &[&str], code: i32) -> Result<Value> {
        let (source, id) = (player.source.as_str(), player.player_id.as_str());
        let args = [&["players", "erase", source, id, "--json"][..], &BY, more].concat();
        Ok(serde_json::from_str(&self.printed(&args, code)?)?)
    }

    /// Of each source the players of whom nothing is open, those of whom most is known first.
    async fn settled(&self) -> Result<BTreeMap<String, Vec<Identity>>> {
        let sql = "SELECT source || ' ' || player_id FROM player p
                    ORDER BY (SELECT count(*) FROM match_participant s WHERE s.player_key = p.player_key)
                             + (SELECT count(*) FROM reward_grant g WHERE g.player_key = p.player_key)
                             + (SELECT count(*) FROM player_match_stats l WHERE l.player_key = p.player_key) DESC, 1";
        let mut settled: BTreeMap<String, Vec<Identity>> = BTreeMap::new();
        for text in self.database.texts(sql).await? {
            let (source, id) = text.split_once(' ').context("two words")?;
            let player = Identity { source: SourceName::parse(source)?, player_id: PlayerId::new(id) };
            let of_source = settled.entry(source.to_owned()).or_default();
            if of_source.len() < 2 {
                let args = ["players", "erase", source, id, "--dry-run"];
                if self.run(&[&args[..], &BY].concat())?.status.success() {
                    of_source.push(player);
                }
            }
        }
        Ok(settled)
    }
}

#[tokio::test]
async fn a_player_is_in_no_table_any_more_and_everything_adds_up() -> Result<()> {
    let played = Played::new("erasure", 24).await?;
    played.printed(&["audit"], 0)?;
    let settled = played.settled().await?;
    assert!(settled.values().filter(|players| !players.is_empty()).count() >= 3, "{settled:?}");
    for (source, players) in &settled {
        let Some(player) = players.first() else { continue };
        let told = played.heard(&SourceName::parse(source)?).await?;
        let before = played.everything().await?;
        assert!(!played.named(player).await?.is_empty(), "{player:?}");

        // A dry run is one.
        let would = played.erase(player, &["--dry-run"], 0)?;
        assert_eq!(would["state"], "dry_run");
        assert_eq!(played.everything().await?, before);

        let books = played.books().await?;
        let erased = played.erase(player, &["--key", "ticket-1"], 0)?;
        assert_eq!(erased["state"], "finished", "{erased}");
        assert_eq!(played.named(player).await?, [""; 0], "{erased}");
        assert_eq!(played.books().await?, books);
        played.printed(&["audit"], 0)?;
        assert!(erased["bodies"].as_i64() > Some(0), "{erased}");

        // Told again, replayed, and when nobody remembers having seen it: nothing comes of it.
        let without_passing = async || -> Result<_> {
            let mut all = played.everything().await?;
            all.retain(|table, _| !PASSING.contains(&table.as_str()));
            Ok(all)
        };
        let after = without_passing().await?;
        played.repeat(&told, false).await?;
        assert_eq!(without_passing().await?, after);
        let about: Vec<Event> = told.iter().filter(|event| names(event, player)).cloned().collect();
        assert!(!about.is_empty());
        played.repeat(&about, true).await?;
        assert_eq!(without_passing().await?, after);
        let ids: Vec<Uuid> = about.iter().map(|event| event.id.uuid()).collect();
        let forget = "DELETE FROM inbox WHERE event_id = ANY ($1)";
        assert!(played.database.connection().await?.execute(forget, &[&ids]).await? > 0);
        played.repeat(&about, false).await?;
        assert_eq!(without_passing().await?, after);

        // The same request again is the same erasure, and another one has nothing to do.
        let again = played.erase(player, &["--key", "ticket-1"], 0)?;
        assert_eq!(again["id"], erased["id"]);
        let nothing = played.erase(player, &["--key", "ticket-2"], 0)?;
        assert_eq!((&nothing["changed"], &nothing["bodies"]), (&serde_json::json!({}), &0.into()));
        assert_eq!(played.named(player).await?, [""; 0]);
    }
    // Without having seen anything the workers are told of nothing new by what is left.
    played.printed(&["audit"], 0)?;
    Ok(())
}

/// True when the event says something of the player.
fn names(event: &Event, player: &Identity) -> bool {
    format!("{:?} {:?}", event.subject, event.payload).contains(player.player_id.as_str())
}

/// An erasure that is killed behind any step is gone on with, by several at once, and is the same in the end.
#[tokio::test]
async fn who_is_killed_between_two_steps_loses_nothing() -> Result<()> {
    let played = Played::new("erasure-killed", 8).await?;
    let player = played.settled().await?.into_values().flatten().next().context("nobody is settled")?;
    let store = played.database.store().await?;
    let books = played.books().await?;
    let author = Author {
        actor: "olga".to_owned(),
        reason: format!("{} asked for it", player.player_id),
        idempotency_key: "ticket-3".to_owned(),
    };
    let Begun::Begun(erasure) = begin(&store, &player, &author, false).await? else {
        bail!("something is open")
    };
    assert!(!erasure.reason.contains(player.player_id.as_str()), "{}", erasure.reason);
    let mut client = store.client().await?;
    for _ in 0..3 {
        assert!(step(&mut client, erasure.id, 2).await?);
    }
    // Killed in the midst of one: the connection goes, and what it did with it.
    let half = played.database.connection().await?;
    half.batch_execute(&format!("BEGIN; SELECT erasure_step('{}', 3)", erasure.id)).await?;
    drop(half);
    // Meanwhile nothing is wrong, and who asks for the same player goes on with the same erasure.
    played.printed(&["audit"], 0)?;
    let other = Author { idempotency_key: "ticket-4".to_owned(), ..author };
    let Begun::Known(known) = begin(&store, &player, &other, false).await? else { bail!("another one") };
    assert_eq!(known.id, erasure.id);
    let (mut one, mut two) = (|| {}, || {});
    let (one, two) = tokio::join!(finish(&store, erasure.id, &mut one), finish(&store, erasure.id, &mut two));
    assert_eq!(one?, two?);
    assert_eq!(played.named(&player).await?, [""; 0]);
    assert_eq!(played.books().await?, books);
    played.printed(&["audit"], 0)?;
    Ok(())
}

/// The archive's proof takes a tombstone for one only as its erasure left it.
#[tokio::test]
async fn only_an_erasure_explains_a_body_that_is_not_there() -> Result<()> {
    let played = Played::new("erasure-archive", 8).await?;
    let player = played.settled().await?.into_values().flatten().next().context("nobody is settled")?;
    let owner = played.database.connection().await?;
    played.erase(&player, &[], 0)?;
    played.printed(&["verify-archive"], 0)?;

    let exported = played.folder.join("archive.jsonl");
    let exported = exported.to_str().context("a path")?;
    played.printed(&["archive", "export", "--out", exported], 0)?;
    played.printed(&["verify-archive", "--file", exported], 0)?;
    played.printed(&["verify-archive", "--offline", "--file", exported], 0)?;
    // A file may say that a row was erased; that it was so only the database can say.
    let text = std::fs::read_to_string(exported)?;
    let mut lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let line = lines.iter_mut().find(|line| line["sealed"].is_string()).context("nothing was erased")?;
    line["sealed"] = "00".repeat(32).into();
    let forged = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    std::fs::write(exported, forged)?;
    let told = played.printed(&["verify-archive", "--file", exported], 1)?;
    assert!(told.contains("knows of no such erasure"), "{told}");

    let refused = owner.execute("DELETE FROM archive_tombstone", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("ES025"));
    let refused = owner.execute("UPDATE erasure SET actor = 'somebody else'", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("ES025"));
    let source = player.source.as_str();
    let change = async |sql: &str, code: i32| {
        assert_eq!(owner.execute(sql, &[&source]).await?, 1, "{sql}");
        played.printed(&["verify-archive"], code).map(drop)
    };
    // Something is put into what is left of a row; a body is taken from a row that nobody erased.
    let erased =
        "(source, seq) = (SELECT source, min(seq) FROM archive_tombstone WHERE source = $1 GROUP BY source)";
    change(&format!("UPDATE archive SET raw = '{{}}' WHERE {erased}"), 1).await?;
    change(&format!("UPDATE archive SET raw = '' WHERE {erased}"), 0).await?;
    let whole = "(source, seq) = (SELECT a.source, min(a.seq) FROM archive a
                   WHERE a.source = $1 AND a.raw <> '' AND a.seq NOT IN
                         (SELECT t.seq FROM archive_tombstone t WHERE t.source = a.source) GROUP BY a.source)";
    change(&format!("UPDATE archive SET raw = '' WHERE {whole}"), 1).await?;
    Ok(())
}
