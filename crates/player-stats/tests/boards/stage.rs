//! Matches of two sources, the workers that count them, and the job that makes boards and ratings of them.

use anyhow::Result;
use matchpurse_domain::boards::BoardName;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_player_stats::PlayerStats as Statistics;
use matchpurse_player_stats::boards::Boards;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, archive};
use matchpurse_testkit::Database;
use matchpurse_worker_kit::Effects as _;
use uuid::Uuid;

/// `servers` has statistics, `arena` stakes; both are the game `shooter`.
pub(crate) const SOURCES: &str = r#"
[sources.servers]
provider = "any"
game = "shooter"
currency = "USD"
custody = "provider"
[sources.arena]
provider = "any"
game = "shooter"
currency = "USD"
custody = "provider"
"#;

/// 2026-11-22T10:00:00Z.
pub(crate) const NOW: i64 = 1_795_341_600;

pub(crate) fn clock() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

pub(crate) struct Stage {
    pub(crate) database: Database,
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) boards: Boards,
}

/// One board of each basis.
pub(crate) const THREE: &str = r#"
[leaderboards.kills]
metric = "kills"
season = "month"
[leaderboards.net]
metric = "net"
currency = "USD"
[leaderboards.skill]
metric = "skill"
game = "shooter"
season = "quarter"
"#;

impl Stage {
    /// With these boards.
    pub(crate) async fn start(boards: &str) -> Result<Self> {
        Self::start_on(Database::create().await?, boards).await
    }

    pub(crate) async fn start_on(database: Database, boards: &str) -> Result<Self> {
        let settings = settings(&database, boards)?;
        let store = database.store().await?;
        let making = Boards::new(store.clone(), &settings, clock);
        making.bring(&settings).await?;
        making.settle().await?;
        Ok(Self { database, store, settings, boards: making })
    }

    /// Applies events as the two workers do, and keeps them in the archive.
    pub(crate) async fn apply(&self, events: &[Event]) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        let (stats, stakes): (Vec<Event>, Vec<Event>) =
            events.iter().cloned().partition(|event| matches!(event.payload, Payload::MatchStatsSnapshot(_)));
        Statistics.apply_in_tx(&tx, &stats, clock()).await?;
        MatchEscrow::new(&self.settings).apply_in_tx(&tx, &stakes, clock()).await?;
        archive::append_in_tx(&tx, events, clock()).await?;
        Ok(tx.commit().await?)
    }

    /// Applies events, and makes boards and ratings of them.
    pub(crate) async fn play(&self, events: &[Event]) -> Result<()> {
        self.apply(events).await?;
        Ok(self.boards.settle().await?)
    }

    /// Everything that is made of matches, to the last bit.
    pub(crate) async fn made(&self) -> Result<String> {
        let mut made = String::new();
        for query in [
            "SELECT * FROM result",
            "SELECT * FROM rating",
            "SELECT * FROM rating_step",
            "SELECT game, sources, redo_at, recomputing_since FROM rating_game",
            "SELECT b.name, b.state, to_jsonb(e) - 'board_id' FROM board_entry e JOIN board b USING (board_id)",
            "SELECT * FROM result_feed",
            "SELECT * FROM board_todo",
        ] {
            made += &self.database.texts(&format!("SELECT t::text FROM ({query}) t")).await?.join("\n");
            made += "\n--\n";
        }
        Ok(made)
    }

    /// Who is listed on a board, in its order: `player score matches`.
    pub(crate) async fn listed(&self, board: &str, season: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT player_id || ' ' || score || ' ' || matches
               FROM board_entry e JOIN board b USING (board_id) JOIN player USING (player_key)
              WHERE b.name = '{board}' AND b.state = 'current' AND e.season = '{season}' AND unlisted IS NULL
              ORDER BY place, reached_at, player_key"
        );
        let rows = self.database.connection().await?.query(&sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Who has an entry that is not listed, and why.
    pub(crate) async fn unlisted(&self, board: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT player_id || ' ' || unlisted
               FROM board_entry e JOIN board b USING (board_id) JOIN player USING (player_key)
              WHERE b.name = '{board}' AND b.state = 'current' AND unlisted IS NOT NULL"
        );
        self.database.texts(&sql).await
    }

    /// The players' ratings: `player mean`.
    pub(crate) async fn ratings(&self) -> Result<Vec<String>> {
        self.database
            .texts("SELECT player_id || ' ' || mean || ' ' || matches FROM rating JOIN player USING (player_key)")
            .await
    }
}

pub(crate) fn settings(database: &Database, boards: &str) -> Result<Settings> {
    Ok(Settings::parse_str(&format!("[database]\nurl = {:?}\n{SOURCES}{boards}", database.service_url()))?)
}

pub(crate) fn source(name: &str) -> SourceName {
    SourceName::parse(name).unwrap()
}

pub(crate) fn board(name: &str) -> BoardName {
    BoardName::parse(name).unwrap()
}

pub(crate) fn key(source: &str, player: &str) -> Uuid {
    PlayerId::new(player).key(&self::source(source))
}

/// A match with statistics: who was on each side with how many kills, and when it ended.
pub(crate) fn shot(
    match_id: &str,
    ended_at: i64,
    scores: (u32, u32),
    one: &[(&str, i32)],
    two: &[(&str, i32)],
) -> Event {
    stats_event(match_id, Timestamp::from_seconds(ended_at), scores, one, two, true, None)
}

/// As [`shot`], with all that it can be.
pub(crate) fn stats_event(
    match_id: &str,
    ended_at: Timestamp,
    scores: (u32, u32),
    one: &[(&str, i32)],
    two: &[(&str, i32)],
    finished: bool,
    cancel_reason: Option<&str>,
) -> Event {
    let player = |side: Side| {
        move |(id, kills): &(&str, i32)| PlayerStats {
            player_id: (*id).into(),
            side,
            nickname: (*id).to_owned(),
            connected: true,
            kicked: false,
            // Kills, assists, deaths.
            counters: Counters(std::array::from_fn(|n| [*kills, 1, 10].get(n).copied().unwrap_or_default())),
        }
    };
    let history =
        vec![HistoryEntry { index: 0, name: "match_ended".to_owned(), at: ended_at, player_id: None }];
    let payload = Payload::MatchStatsSnapshot(MatchStatsSnapshot {
        match_id: match_id.to_owned(),
        map: None,
        team1: TeamScore { name: "one".to_owned(), score: Some(scores.0) },
        team2: TeamScore { name: "two".to_owned(), score: Some(scores.1) },
        rounds_played: scores.0 + scores.1,
        finished,
        cancel_reason: cancel_reason.map(str::to_owned),
        players: one.iter().map(player(Side::Team1)).chain(two.iter().map(player(Side::Team2))).collect(),
        history: if finished { history } else { Vec::new() },
    });
    let mut event = matchpurse_testkit::event("servers", true, payload);
    event.subject = match_id.to_owned();
    event
}

/// A match for a stake of 10.00 each that ended: the winner gets 18.00.
pub(crate) fn staked(match_id: &str, ended_at: i64, winner: &str, loser: &str) -> Event {
    staked_event(match_id, ended_at, MatchStatus::Closed, winner, loser)
}

pub(crate) fn staked_event(
    match_id: &str,
    ended_at: i64,
    status: MatchStatus,
    winner: &str,
    loser: &str,
) -> Event {
    let usd = |minor_units| Money::new(minor_units, Currency::new("USD", None).unwrap().code);
    let reward = Reward {
        kind: RewardKind::Cash,
        amount: Some(usd(1800)),
        value: None,
        reference: None,
        metadata: None,
    };
    let won = status == MatchStatus::Closed;
    let group = |player: &str, wins: bool| Group {
        group_id: format!("g-{player}"),
        name: None,
        players: vec![Participant {
            player_id: player.into(),
            reward: (wins && won).then(|| reward.clone()),
        }],
    };
    let payload = Payload::MatchSnapshot(MatchSnapshot {
        match_id: match_id.to_owned(),
        kind: MatchKind::Recreational,
        status,
        provider_status: status.as_str().to_owned(),
        format: Some(MatchFormat::GroupVsGroup),
        game_id: None,
        created_by: None,
        buy_in: Some(usd(1000)),
        groups: vec![group(winner, true), group(loser, false)],
        winner_group_ids: if won { vec![format!("g-{winner}")] } else { Vec::new() },
    });
    let mut event = matchpurse_testkit::event("arena", true, payload);
    event.subject = match_id.to_owned();
    event.occurred_at = Some(Timestamp::from_seconds(ended_at));
    event
}

/// Forty matches of eight players over three months; some end at the same second, some are drawn.
pub(crate) fn season_of_matches() -> Vec<Event> {
    let mut dice = matchpurse_testkit::Dice::new(7);
    let names = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];
    let mut events = Vec::new();
    for number in 0..40 {
        let order = dice.shuffled(names.to_vec());
        let ended_at = NOW - 86_400 * 90 + i64::from(number / 2) * 86_400 * 4;
        let id = format!("m{number}");
        if dice.below(3) == 0 {
            events.push(staked(&id, ended_at, order[0], order[1]));
        } else {
            let mut team = |names: &[&'static str]| -> Vec<(&'static str, i32)> {
                names.iter().map(|name| (*name, i32::try_from(dice.below(25)).unwrap())).collect()
            };
            let (one, two) = (team(&order[..2]), team(&order[2..4]));
            let scores = [(13, 7), (5, 13), (12, 12)][dice.below(3)];
            events.push(shot(&id, ended_at, scores, &one, &two));
        }
    }
    events
}
