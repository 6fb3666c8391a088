//! What of a player is open keeps the player; what is not goes, whatever the history was.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_domain::event::{Event, MatchStatus, Payload};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_operations::End;
use matchpurse_operations::erasures::{Author, begin, finish};
use matchpurse_operations::funds::Direction::Withdrawal;
use matchpurse_store::archive;
use matchpurse_store::erasure::{Begun, Erasure};
use matchpurse_store::links::Identity;
use matchpurse_testkit::Dice;

use crate::ground::{Ground, NOW, snapshot, usd};

fn player(source: &str, id: &str) -> Identity {
    Identity { source: SourceName::parse(source).unwrap(), player_id: id.into() }
}

impl Ground {
    async fn ask(&self, who: &Identity, key: &str) -> Result<Begun> {
        let author = Author {
            actor: "olga".to_owned(),
            reason: "asked for".to_owned(),
            idempotency_key: key.to_owned(),
        };
        Ok(begin(&self.store, who, &author, false).await?)
    }

    /// What is in the way, in words.
    async fn open(&self, who: &Identity) -> Result<Vec<String>> {
        let before = self.everything().await?;
        let Begun::Open(open) = self.ask(who, "refused").await? else { panic!("nothing is open") };
        assert_eq!(self.everything().await?, before);
        Ok(open.into_iter().map(|one| format!("{} {} {:?}", one.what, one.about, one.amount)).collect())
    }

    /// As if the dispatcher had looked at all notices, and nobody wanted them.
    async fn told(&self) -> Result<()> {
        self.rows("UPDATE outbox SET fanned_out_at = now() RETURNING ''").await.map(drop)
    }

    async fn erase(&self, who: &Identity, key: &str) -> Result<Erasure> {
        let begun = self.ask(who, key).await?;
        let Begun::Begun(erasure) = begun else { panic!("{begun:?}") };
        Ok(finish(&self.store, erasure.id, &mut || {}).await?)
    }

    async fn everything(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let tables = "SELECT quote_ident(table_name) FROM information_schema.tables
                       WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
        let mut all = BTreeMap::new();
        for table in self.rows(tables).await? {
            let rows = self.rows(&format!("SELECT t::text FROM {table} t ORDER BY 1")).await?;
            all.insert(table, rows);
        }
        Ok(all)
    }

    async fn nowhere(&self, who: &Identity) -> Result<()> {
        let id = who.player_id.as_str();
        let forms = [id.to_owned(), who.key().to_string(), hex(id.as_bytes())];
        for (table, rows) in self.everything().await? {
            for row in rows {
                assert!(!forms.iter().any(|form| row.contains(form)), "{table}: {row}");
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// True when the word stands in the text by itself, and not as a part of a longer one.
fn stands_in(text: &str, word: &str) -> bool {
    let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(of_word) && !text[at + word.len()..].starts_with(of_word))
}

/// A match of these two, like [`snapshot`].
fn between(match_id: &str, status: MatchStatus, winner: Option<&str>, one: &str, two: &str) -> Event {
    let mut event = snapshot("ours", status, winner, None);
    event.subject = match_id.to_owned();
    if let Payload::MatchSnapshot(found) = &mut event.payload {
        found.match_id = match_id.to_owned();
        found.created_by = Some(one.into());
        for (group, id) in found.groups.iter_mut().zip([one, two]) {
            group.players[0].player_id = id.into();
        }
    }
    let body = format!("{{\"match\":\"{match_id}\",\"status\":\"{status:?}\",\"of\":[\"{one}\",\"{two}\"]}}");
    event.raw = body.into_bytes().into();
    event.id = EventId::of_delivery(&event.source, "POST", &event.raw, 0);
    event.delivery_id = event.id;
    event
}

#[tokio::test]
async fn money_that_is_open_keeps_the_player() -> Result<()> {
    let ground = Ground::new().await?;
    let anna = player("ours", "anna-4711");
    for id in ["anna-4711", "bert-0815"] {
        ground.deposit(id, 1000).await?;
    }
    assert_eq!(ground.open(&anna).await?, ["balance USD Some(1000)"]);
    let game = |status, winner| between("m1", status, winner, "anna-4711", "bert-0815");
    ground.apply(&[game(MatchStatus::Confirmed, None)]).await?;
    let open = ground.open(&anna).await?;
    assert_eq!(open.iter().filter(|one| one.starts_with("notice")).count(), 1, "{open:?}");
    ground.told().await?;
    assert_eq!(ground.open(&anna).await?, ["match m1 Some(1000)"]);
    ground.apply(&[game(MatchStatus::Closed, Some("g1"))]).await?;
    ground.told().await?;
    assert_eq!(ground.open(&anna).await?, ["balance USD Some(1800)"]);
    ground.move_money(Withdrawal, "ours", "anna-4711", usd(1800), "w").await?;
    // What the archive has and a worker has not applied would come to nothing.
    let late = between("m2", MatchStatus::Open, None, "anna-4711", "bert-0815");
    ground.only_archive(std::slice::from_ref(&late)).await?;
    assert_eq!(ground.open(&anna).await?, [format!("event {} None", late.id)]);
    ground.apply(&[late]).await?;
    ground.told().await?;
    assert_eq!(ground.open(&anna).await?, ["match m2 Some(0)"]);
    let ended = between("m2", MatchStatus::CanceledByOwner, None, "anna-4711", "bert-0815");
    ground.apply(&[ended]).await?;
    ground.told().await?;
    let balances = ground.balances().await?;
    let erasure = ground.erase(&anna, "k").await?;
    assert!(erasure.finished && !erasure.came_back && erasure.bodies == 4, "{erasure:?}");
    ground.nowhere(&anna).await?;
    assert_eq!(ground.balances().await?, balances);
    ground.sound().await
}

/// Players deposit, play, are overruled, withdraw, and go one after the other; in whatever order it comes.
#[tokio::test]
async fn whatever_the_history_was_the_books_add_up_without_the_player() -> Result<()> {
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let ground = Ground::new().await?;
        // One id is the beginning of another one, and one is short.
        let ids = ["anna", "anna-2", "b7", "carl_the_great", "76561198000000001"];
        for id in ids {
            ground.deposit(id, 20_000).await?;
        }
        let mut told = Vec::new();
        for n in 0..12 {
            let one = ids[dice.below(ids.len())];
            let two = ids[dice.below(ids.len())];
            if one == two {
                continue;
            }
            let name = format!("m{}", n + 1);
            let end = match dice.below(4) {
                0 => (MatchStatus::CanceledByOwner, None),
                1 => (MatchStatus::Closed, Some("g2")),
                _ => (MatchStatus::Closed, Some("g1")),
            };
            let life = [
                between(&name, MatchStatus::Confirmed, None, one, two),
                between(&name, MatchStatus::Locked, None, one, two),
                between(&name, end.0, end.1, one, two),
            ];
            for event in life {
                ground.apply(std::slice::from_ref(&event)).await?;
                told.push(event);
            }
            if name == "m1" && end.0 == MatchStatus::Closed {
                ground.correct("ours", End::Refund {}, "c1", 1).await?;
            }
        }
        // Two of them go.
        for who in ["anna", ids[1 + dice.below(ids.len() - 1)]] {
            let sql = format!(
                "SELECT balance::text FROM account JOIN player ON player_key = owner_key WHERE player_id = '{who}'"
            );
            let has: i64 = ground.rows(&sql).await?[0].parse()?;
            if has > 0 {
                ground.move_money(Withdrawal, "ours", who, usd(has), &format!("w {who}")).await?;
            }
            ground.told().await?;
            let sums =
                "SELECT currency || kind || sum(balance) FROM account GROUP BY currency, kind ORDER BY 1";
            let before = ground.rows(sums).await?;
            let gone = player("ours", who);
            let erasure = ground.erase(&gone, "k").await?;
            assert!(erasure.finished && erasure.pseudonym.len() == who.len(), "seed {seed}: {erasure:?}");
            assert_eq!(ground.rows(sums).await?, before, "seed {seed}");
            for (table, rows) in ground.everything().await? {
                let key = gone.key().to_string();
                let found = rows.iter().find(|row| row.contains(&key) || stands_in(row, who));
                assert_eq!(found, None, "seed {seed}, {who} in {table}");
            }
            assert_eq!(
                ground.rows(&format!("SELECT player_id FROM player WHERE player_id = '{who}'")).await?,
                [""; 0]
            );
            ground.sound().await?;
            // The chain holds, and what was archived is known to be.
            let mut client = ground.store.client().await?;
            let tx = client.begin().await?;
            archive::append_in_tx(&tx, &told, NOW).await?;
            tx.commit().await?;
            for archived in ground.store.archived_of(&gone.source, None, 0, 1_000).await? {
                let said = format!("{:?} {:?}", archived.event.payload, archived.event.raw);
                assert!(!stands_in(&said, who), "seed {seed}, {who} in {said}");
            }
            let chain = ground.store.verify_chain(&gone.source).await?;
            assert_eq!(chain.broken, None, "seed {seed}");
        }
        // The others are who they were.
        let names = ids.map(|id| format!("'{id}'")).join(", ");
        let strangers = format!("SELECT count(*)::text FROM player WHERE player_id NOT IN ({names})");
        assert_eq!(ground.rows(&strangers).await?, ["2"], "seed {seed}");
    }
    Ok(())
}

/// An end that is told once more in other words, of an ended match of somebody who was erased, moves nothing.
#[tokio::test]
async fn an_old_end_in_other_words_moves_nothing() -> Result<()> {
    let ground = Ground::new().await?;
    for id in ["anna-4711", "bert-0815"] {
        ground.deposit(id, 1000).await?;
    }
    let game = |status, winner| between("m1", status, winner, "anna-4711", "bert-0815");
    ground.apply(&[game(MatchStatus::Confirmed, None), game(MatchStatus::Closed, Some("g2"))]).await?;
    ground.told().await?;
    let anna = player("ours", "anna-4711");
    ground.erase(&anna, "k").await?;
    let balances = ground.balances().await?;
    let mut again = game(MatchStatus::Closed, Some("g2"));
    again.id = EventId::of_delivery(&again.source, "POST", b"other bytes", 0);
    ground.apply(&[again]).await?;
    assert_eq!(ground.balances().await?, balances);
    assert_eq!(ground.rows("SELECT kind FROM anomaly").await?, [""; 0]);
    ground.sound().await
}

/// Providers number players and matches apart, so one may have the other's id; what is a match's stays.
#[tokio::test]
async fn a_match_of_the_same_id_keeps_it() -> Result<()> {
    let ground = Ground::new().await?;
    for id in ["m1", "bert-0815"] {
        ground.deposit(id, 1000).await?;
    }
    let game = |status, winner| between("m1", status, winner, "m1", "bert-0815");
    ground.apply(&[game(MatchStatus::Confirmed, None), game(MatchStatus::Closed, Some("g2"))]).await?;
    ground.told().await?;
    let before =
        ground.rows("SELECT subject || kind || (payload ->> 'match_id') FROM outbox ORDER BY 1").await?;
    let gone = player("ours", "m1");
    let erasure = ground.erase(&gone, "k").await?;
    assert_eq!(ground.rows("SELECT match_id FROM match").await?, ["m1"]);
    assert_eq!(ground.rows("SELECT DISTINCT subject FROM archive").await?, ["m1"]);
    let after =
        ground.rows("SELECT subject || kind || (payload ->> 'match_id') FROM outbox ORDER BY 1").await?;
    assert_eq!(after, before);
    let told = ground.rows("SELECT payload ->> 'players' FROM outbox").await?;
    assert!(told.iter().all(|players| players.contains(&erasure.pseudonym) && !stands_in(players, "m1")));
    for archived in ground.store.archived_of(&gone.source, None, 0, 10).await? {
        let Payload::MatchSnapshot(found) = archived.event.payload else { panic!("no match") };
        assert_eq!((found.match_id.as_str(), archived.event.subject.as_str()), ("m1", "m1"));
        let players: Vec<&str> = found.players().map(|player| player.as_str()).collect();
        assert_eq!(players, [erasure.pseudonym.as_str(), "bert-0815"]);
        assert_eq!(found.created_by.as_ref().map(|player| player.as_str()), Some(erasure.pseudonym.as_str()));
    }
    assert_eq!(ground.store.verify_chain(&gone.source).await?.broken, None);
    ground.sound().await
}
