//! What is asked: every list of the API, by each of its filters, and the console's pages.

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use tokio_postgres::Client;

use super::encoded;

/// Rows of a page.
const LIMIT: usize = 100;

/// How many items there must be in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items {
    /// A full page.
    Full,
    /// One at least.
    Some,
    /// So many, in as many pages as it takes: a search may give up on the way, and say where to go on.
    AtMost(usize),
    /// It is no list.
    One,
}

impl Items {
    /// That an answer is what it must be.
    pub(super) fn check(self, status: u16, body: &[u8]) -> Result<()> {
        ensure!(status == 200, "answered by {status}: {}", String::from_utf8_lossy(body));
        let body: Value = serde_json::from_slice(body)?;
        let Some(items) = body.get("items").and_then(Value::as_array).map(Vec::len) else {
            ensure!(self == Self::One, "no list");
            return Ok(());
        };
        let more = body.get("next").is_some_and(Value::is_string);
        match self {
            Self::Full if items == LIMIT => Ok(()),
            Self::Some if items > 0 => Ok(()),
            Self::AtMost(most) if items == most || (items < most && more) => Ok(()),
            _ => bail!("{items} items, not {self:?}"),
        }
    }
}

/// One question.
pub(super) struct Question {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) items: Items,
}

/// Who has much: their names are in paths.
struct Busiest {
    /// Of `games`, who held the most stakes.
    player: String,
    /// Of `servers`, who has played the most matches with statistics.
    gamer: String,
    account: i64,
    match_id: String,
    contest: String,
    offers: String,
}

async fn busiest(client: &Client) -> Result<Busiest> {
    let player =
        "SELECT player_id FROM match_participant JOIN player USING (player_key) WHERE source = 'games'
        GROUP BY player_key, player_id ORDER BY count(*) DESC, player_id LIMIT 1";
    let gamer =
        "SELECT player_id FROM player_match_stats JOIN player USING (player_key) WHERE source = 'servers'
        GROUP BY player_key, player_id ORDER BY count(*) DESC, player_id LIMIT 1";
    let account = "SELECT debit_id FROM transfer GROUP BY debit_id ORDER BY count(*) DESC, debit_id LIMIT 1";
    let ended = "SELECT match_id FROM match WHERE source = 'games' AND settled_at IS NOT NULL ORDER BY match_no LIMIT 1";
    let contest = "SELECT contest_id FROM contest WHERE source = 'offerwall' ORDER BY created_at DESC, contest_id LIMIT 1";
    let text = async |sql: &str| anyhow::Ok(client.query_one(sql, &[]).await?.try_get::<_, String>(0)?);
    Ok(Busiest {
        player: text(player).await?,
        gamer: text(gamer).await?,
        account: client.query_one(account, &[]).await?.try_get(0)?,
        match_id: text(ended).await?,
        contest: text(contest).await?,
        offers: "offerwall".to_owned(),
    })
}

/// Every list of the API, by each of its filters.
pub(super) async fn all(client: &Client) -> Result<Vec<Question>> {
    let long_ago = "SELECT to_char(max(received_at) AT TIME ZONE 'UTC' - interval '21 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        FROM archive";
    let long_ago: String = client.query_one(long_ago, &[]).await?.try_get(0)?;
    let Busiest { player, gamer, account, match_id, contest, offers } = busiest(client).await?;
    let (player, gamer) = (encoded(&player), encoded(&gamer));
    let (match_id, contest) = (encoded(&match_id), encoded(&contest));
    let mut all = Vec::new();
    let mut ask = |name: &str, path: String, items: Items| {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = if items == Items::One { path } else { format!("{path}{joint}limit={LIMIT}") };
        all.push(Question { name: name.to_owned(), path, items });
    };
    // A copy's body is that of what was played, and so is the cursor in it: further pages are asked for by time.
    ask("events", "/v1/events".to_owned(), Items::Some);
    ask("events until three weeks ago", format!("/v1/events?to={}", encoded(&long_ago)), Items::Some);
    ask("events of a source", "/v1/events?source=servers".to_owned(), Items::Some);
    ask(
        "events of a source until three weeks ago",
        format!("/v1/events?source=servers&to={}", encoded(&long_ago)),
        Items::Some,
    );
    ask("events of a match", format!("/v1/events?source=games&subject={match_id}"), Items::Some);
    ask("events of a type that never came", "/v1/events?type=never".to_owned(), Items::AtMost(0));
    ask("matches", "/v1/matches".to_owned(), Items::Full);
    ask("matches of a source", "/v1/matches?source=games".to_owned(), Items::Full);
    ask("matches by status", "/v1/matches?status=CLOSED".to_owned(), Items::Full);
    ask("matches of a status that none has", "/v1/matches?status=DISPUTE".to_owned(), Items::AtMost(0));
    ask("matches of a player", format!("/v1/matches?source=games&player={player}"), Items::Some);
    ask("a match", format!("/v1/matches/games/{match_id}"), Items::One);
    ask("a match's timeline", format!("/v1/matches/games/{match_id}/timeline"), Items::One);
    ask("a player", format!("/v1/players/games/{player}"), Items::One);
    ask("a player's matches", format!("/v1/players/servers/{gamer}/matches"), Items::Some);
    ask("a player's statistics", format!("/v1/players/servers/{gamer}/statistics"), Items::One);
    ask("entries of the busiest account", format!("/v1/ledger/accounts/{account}/entries"), Items::Some);
    ask("rewards", "/v1/rewards".to_owned(), Items::Full);
    ask("rewards of a source", "/v1/rewards?source=offerwall".to_owned(), Items::Full);
    ask("rewards by a frequent state", "/v1/rewards?state=granted".to_owned(), Items::Full);
    ask("rewards by a state that five have", "/v1/rewards?state=failed".to_owned(), Items::AtMost(5));
    ask("rewards by a state that none has", "/v1/rewards?state=fulfilled".to_owned(), Items::AtMost(0));
    ask("rewards of a contest", format!("/v1/rewards?source=offerwall&contest={contest}"), Items::Some);
    ask("deliveries", "/v1/deliveries".to_owned(), Items::Full);
    ask("deliveries of an endpoint", "/v1/deliveries?endpoint=game".to_owned(), Items::Full);
    ask(
        "deliveries of an endpoint without any",
        "/v1/deliveries?endpoint=quiet".to_owned(),
        Items::AtMost(0),
    );
    ask("deliveries by a frequent state", "/v1/deliveries?state=delivered".to_owned(), Items::Full);
    ask("deliveries by a state that five have", "/v1/deliveries?state=given_up".to_owned(), Items::AtMost(5));
    ask("deliveries of a kind", "/v1/deliveries?kind=reward.granted".to_owned(), Items::Full);
    ask(
        "deliveries of a kind that never was",
        "/v1/deliveries?kind=reward.never".to_owned(),
        Items::AtMost(0),
    );
    ask("parked", "/v1/parked".to_owned(), Items::Full);
    ask("parked of a source", "/v1/parked?source=servers".to_owned(), Items::Full);
    ask("parked by a type that five have", "/v1/parked?type=seldom".to_owned(), Items::AtMost(5));
    ask("parked that were decided", "/v1/parked?state=resolved".to_owned(), Items::AtMost(0));
    ask("anomalies", "/v1/anomalies".to_owned(), Items::Full);
    ask("anomalies of a kind that five have", "/v1/anomalies?kind=seldom".to_owned(), Items::AtMost(5));
    ask("anomalies that were resolved", "/v1/anomalies?state=resolved".to_owned(), Items::AtMost(0));
    ask("offers", format!("/v1/offers/{offers}"), Items::Full);
    ask("offers that are active", format!("/v1/offers/{offers}?state=active"), Items::Full);
    ask("a leaderboard", "/v1/leaderboards/winners".to_owned(), Items::Full);
    ask("corrections", "/v1/corrections".to_owned(), Items::AtMost(0));
    ask("endpoints", "/v1/endpoints".to_owned(), Items::Some);
    ask("the ledger's trial balance", "/v1/ledger/trial-balance".to_owned(), Items::One);
    Ok(all)
}

/// The console's pages, by name and path.
pub(super) async fn pages(client: &Client) -> Result<Vec<(String, String)>> {
    let Busiest { player, match_id, .. } = busiest(client).await?;
    let (player, match_id) = (encoded(&player), encoded(&match_id));
    let pages = [
        ("Overview", String::new()),
        ("Flow", "/flow".to_owned()),
        ("Matches", "/matches".to_owned()),
        ("Matches by status", "/matches?status=CLOSED".to_owned()),
        ("a match", format!("/matches/games/{match_id}")),
        ("Rewards", "/rewards".to_owned()),
        ("Players", "/players".to_owned()),
        ("a player", format!("/players/games/{player}")),
        ("Leaderboards", "/leaderboards".to_owned()),
        ("a leaderboard", "/leaderboards/winners".to_owned()),
        ("Offers", "/offers".to_owned()),
        ("Parked", "/parked".to_owned()),
        ("Parked, decided", "/parked?state=resolved".to_owned()),
        ("Anomalies", "/anomalies".to_owned()),
        ("Endpoints", "/endpoints".to_owned()),
        ("an endpoint", "/endpoints/game".to_owned()),
        ("Sources", "/sources".to_owned()),
        ("a source", "/sources/games".to_owned()),
    ];
    Ok(pages.map(|(name, path)| (name.to_owned(), format!("/console{path}"))).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_size_is_wrong() {
        let few = br#"{"items": [1, 2], "next": null}"#;
        assert!(Items::Some.check(200, few).is_ok());
        assert!(Items::AtMost(2).check(200, few).is_ok());
        assert!(Items::AtMost(3).check(200, few).is_err());
        assert!(Items::AtMost(3).check(200, br#"{"items": [1], "next": "there"}"#).is_ok());
        assert!(Items::AtMost(1).check(200, few).is_err());
        assert!(Items::Full.check(200, few).is_err());
        assert!(Items::One.check(200, b"{}").is_ok());
        assert!(Items::Some.check(500, few).is_err());
    }
}
