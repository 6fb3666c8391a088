use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::event::{Counters, MatchStatsSnapshot, PlayerStats, Side, TeamScore};
use crate::ids::PlayerId;
use crate::time::Timestamp;

/// The entry in a match's history that says that it was called off.
pub const MATCH_CANCELED: &str = "match_canceled";
/// The entry that says that it was played to its end.
pub const MATCH_ENDED: &str = "match_ended";

/// A match as its furthest snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchStats {
    /// The map, if known.
    pub map: Option<String>,
    /// One side.
    pub team1: TeamScore,
    /// The other.
    pub team2: TeamScore,
    /// How many rounds are over.
    pub rounds_played: u32,
    /// How long the snapshot's history is; it tells which of two snapshots of one round is the later.
    pub history_len: u32,
    /// True when no round follows.
    pub finished: bool,
    /// True when it was called off: it counts for nothing.
    pub canceled: bool,
    /// Why it was called off, if the provider said so.
    pub cancel_reason: Option<String>,
    /// Who won, by the scores; only of a match that ended and was not called off.
    pub winner: Option<Winner>,
    /// True when the totals have got this match.
    pub counted: bool,
    /// SHA-256 over the scores and every player's side and counters.
    pub numbers: [u8; 32],
    /// SHA-256 over the players' ids: when it changes, lines of the match may have to go.
    pub roster: [u8; 32],
    /// When it ended, if it has: as its history says, else when the news of it came. Of several deliveries of
    /// one end, the earliest time.
    pub ended_at: Option<Timestamp>,
    /// How often an operator put other numbers in the place of those that counted.
    pub corrections: u32,
    /// The ends that an operator overruled, by [`MatchStats::end`]: told again they are no news.
    pub overruled: BTreeSet<[u8; 32]>,
}

/// Who won a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    /// `team1`
    Team1,
    /// `team2`
    Team2,
    /// Neither: both have as many rounds.
    Draw,
}

/// How a match went for one player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchOutcome {
    /// The player's side has more rounds.
    Win,
    /// The other one has.
    Loss,
    /// Both have as many.
    Draw,
}

/// What one match adds to one player's totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Matches played.
    pub matches: i64,
    /// Of them won.
    pub wins: i64,
    /// Of them lost.
    pub losses: i64,
    /// Of them neither.
    pub draws: i64,
    /// Rounds of those matches; the provider does not say when a player came late.
    pub rounds: i64,
    /// The counters.
    pub counters: [i64; 22],
}

impl MatchStats {
    /// What a snapshot that came at `at` says of its match. `counted` is false: only [`super::apply`] counts.
    pub(super) fn of(snapshot: &MatchStatsSnapshot, at: Timestamp) -> Self {
        let canceled = snapshot.cancel_reason.is_some()
            || snapshot.history.iter().any(|entry| entry.name == MATCH_CANCELED);
        let has_ended = snapshot.finished || canceled;
        let winner = match (snapshot.team1.score, snapshot.team2.score) {
            (Some(one), Some(two)) if snapshot.finished && !canceled => Some(match one.cmp(&two) {
                std::cmp::Ordering::Greater => Winner::Team1,
                std::cmp::Ordering::Less => Winner::Team2,
                std::cmp::Ordering::Equal => Winner::Draw,
            }),
            _ => None,
        };
        Self {
            map: snapshot.map.clone(),
            team1: snapshot.team1.clone(),
            team2: snapshot.team2.clone(),
            rounds_played: snapshot.rounds_played,
            history_len: u32::try_from(snapshot.history.len()).unwrap_or(u32::MAX),
            finished: snapshot.finished,
            canceled,
            cancel_reason: snapshot.cancel_reason.clone(),
            winner,
            counted: false,
            numbers: numbers(snapshot),
            roster: roster_digest(snapshot),
            ended_at: has_ended.then(|| ended_at(snapshot).unwrap_or(at)),
            corrections: 0,
            overruled: BTreeSet::new(),
        }
    }

    /// What tells one end of a match from another: the numbers of a final; all cancellations are alike.
    pub fn end(&self) -> Option<[u8; 32]> {
        if self.canceled {
            Some(Sha256::digest(MATCH_CANCELED).into())
        } else {
            self.finished.then_some(self.numbers)
        }
    }

    /// How the match went for who was on `side`; none when it does not count, has no winner because a score is
    /// missing, or the player only watched.
    pub fn outcome(&self, side: Side) -> Option<MatchOutcome> {
        let own = match side {
            Side::Team1 => Winner::Team1,
            Side::Team2 => Winner::Team2,
            Side::Spectator => return None,
        };
        Some(match self.winner.filter(|_| self.counted)? {
            Winner::Draw => MatchOutcome::Draw,
            winner if winner == own => MatchOutcome::Win,
            _ => MatchOutcome::Loss,
        })
    }

    /// True when the match has ended, one way or the other.
    pub const fn has_ended(&self) -> bool {
        self.finished || self.canceled
    }

    /// How far a snapshot is: of two, the greater one counts. `finished` outweighs the rounds, which may fall
    /// when a server restores a backup.
    pub(super) const fn progress(&self) -> (bool, u32, u32) {
        (self.finished, self.rounds_played, self.history_len)
    }
}

/// The players of a snapshot, each once: the first entry of a player counts.
pub(super) fn roster(snapshot: &MatchStatsSnapshot) -> BTreeMap<&PlayerId, &PlayerStats> {
    let mut roster = BTreeMap::new();
    for player in &snapshot.players {
        roster.entry(&player.player_id).or_insert(player);
    }
    roster
}

/// When a snapshot's history says that its match ended. What follows that entry, like the players' leaving, is
/// no part of the match; where the entry is lost, the last one is the nearest.
fn ended_at(snapshot: &MatchStatsSnapshot) -> Option<Timestamp> {
    let end =
        snapshot.history.iter().find(|entry| [MATCH_ENDED, MATCH_CANCELED].contains(&entry.name.as_str()));
    end.or_else(|| snapshot.history.last()).map(|entry| entry.at)
}

/// What a match adds for each who played in it, given every line of it: nothing if it does not count, and
/// nothing for who only watched.
pub(super) fn totals<'l>(
    state: &MatchStats,
    lines: impl IntoIterator<Item = (&'l PlayerId, Side, &'l Counters)>,
) -> BTreeMap<PlayerId, Totals> {
    let mut totals = BTreeMap::new();
    for (id, side, counters) in lines {
        if !state.counted || side == Side::Spectator {
            continue;
        }
        let outcome = state.outcome(side);
        let one = |of: MatchOutcome| i64::from(outcome == Some(of));
        let gain = Totals {
            matches: 1,
            wins: one(MatchOutcome::Win),
            losses: one(MatchOutcome::Loss),
            draws: one(MatchOutcome::Draw),
            rounds: i64::from(state.rounds_played),
            counters: counters.0.map(i64::from),
        };
        totals.insert(id.clone(), gain);
    }
    totals
}

fn roster_digest(snapshot: &MatchStatsSnapshot) -> [u8; 32] {
    let mut hash = Sha256::new();
    roster(snapshot).keys().for_each(|id| part(&mut hash, id.as_str()));
    hash.finalize().into()
}

/// Adds a length-prefixed text, so that no two lists of texts collide.
fn part(hash: &mut Sha256, text: &str) {
    hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(text.as_bytes());
}

fn numbers(snapshot: &MatchStatsSnapshot) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(snapshot.rounds_played.to_be_bytes());
    for team in [&snapshot.team1, &snapshot.team2] {
        // A missing score differs from every score.
        hash.update(team.score.map_or(-1, i64::from).to_be_bytes());
    }
    for (id, player) in roster(snapshot) {
        part(&mut hash, id.as_str());
        part(&mut hash, player.side.as_str());
        let Counters(counters) = player.counters;
        counters.iter().for_each(|counter| hash.update(counter.to_be_bytes()));
    }
    hash.finalize().into()
}

impl MatchOutcome {
    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Win => "win",
            Self::Loss => "loss",
            Self::Draw => "draw",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Win, Self::Loss, Self::Draw].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

impl Totals {
    /// What undoes them.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self {
            matches: self.matches.saturating_neg(),
            wins: self.wins.saturating_neg(),
            losses: self.losses.saturating_neg(),
            draws: self.draws.saturating_neg(),
            rounds: self.rounds.saturating_neg(),
            counters: self.counters.map(i64::saturating_neg),
        }
    }

    /// Adds another match's.
    pub fn add(&mut self, other: &Self) {
        let mine = [&mut self.matches, &mut self.wins, &mut self.losses, &mut self.draws, &mut self.rounds];
        let more = [other.matches, other.wins, other.losses, other.draws, other.rounds];
        for (sum, more) in mine.into_iter().zip(more) {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.counters.iter_mut().zip(other.counters) {
            *sum = sum.saturating_add(more);
        }
    }
}

impl Winner {
    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Team1 => "team1",
            Self::Team2 => "team2",
            Self::Draw => "draw",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Team1, Self::Team2, Self::Draw].into_iter().find(|winner| winner.as_str() == text)
    }
}
