//! What each event says of its match, in the auditor's words.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::{
    ContestOutcome, Event, MatchKind, MatchSnapshot, MatchStatus, Outcome, Payload, RewardKind,
};

/// What a status does with the stakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Does {
    Nothing,
    Hold,
    Payout,
    Tie,
    Refund,
}

/// A player in an event's list.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) group: String,
    pub(crate) cash: Option<i64>,
    pub(crate) studio_reward: bool,
}

/// What one event says.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) id: String,
    pub(crate) does: Does,
    pub(crate) status: &'static str,
    /// False where the kind of match stakes nothing.
    pub(crate) money: bool,
    pub(crate) stake: Option<i64>,
    pub(crate) players: BTreeMap<String, Listed>,
    pub(crate) wins: BTreeSet<String>,
    pub(crate) signed: bool,
    pub(crate) contest: bool,
    /// What an end says; two that say the same do not contradict each other.
    pub(crate) says: String,
}

impl Fact {
    /// None for an event that is about no match.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let blank = Self {
            id: event.id.to_string(),
            does: Does::Nothing,
            status: "",
            money: false,
            stake: None,
            players: BTreeMap::new(),
            wins: BTreeSet::new(),
            signed: event.provenance.body_authenticated,
            contest: false,
            says: String::new(),
        };
        match &event.payload {
            Payload::ContestOutcome(contest) => Some(blank.of_contest(contest)),
            Payload::MatchSnapshot(snapshot) => Some(blank.of_snapshot(snapshot)),
            _ => None,
        }
    }

    fn of_contest(self, contest: &ContestOutcome) -> Self {
        let tie = contest.outcomes.iter().all(|o| o.outcome == Outcome::Tie);
        let mut said: Vec<_> = contest.outcomes.iter().map(|o| (o.player_id.as_str(), o.outcome)).collect();
        said.sort();
        let (status, does) = if tie {
            (MatchStatus::ClosedTie.as_str(), Does::Tie)
        } else {
            (MatchStatus::Closed.as_str(), Does::Payout)
        };
        Self { contest: true, says: format!("{said:?}"), status, does, ..self }
    }

    fn of_snapshot(self, snapshot: &MatchSnapshot) -> Self {
        let money = matches!(snapshot.kind, MatchKind::Recreational | MatchKind::Platform);
        let does = match snapshot.status.as_str() {
            "OPEN" => Does::Nothing,
            "CLOSED" => Does::Payout,
            "CLOSED_TIE" => Does::Tie,
            status if status.starts_with("CANCELED_") => Does::Refund,
            _ => Does::Hold,
        };
        let mut players = BTreeMap::new();
        for group in &snapshot.groups {
            for player in &group.players {
                let reward = player.reward.as_ref();
                let cash = reward.filter(|r| r.kind == RewardKind::Cash).and_then(|r| r.amount.as_ref());
                let listed = Listed {
                    group: group.group_id.clone(),
                    cash: cash.map(|amount| amount.minor_units),
                    studio_reward: reward.is_some_and(|r| r.kind == RewardKind::Studio),
                };
                players.insert(player.player_id.as_str().to_owned(), listed);
            }
        }
        let wins: BTreeSet<String> = snapshot.winner_group_ids.iter().cloned().collect();
        let cash = players.iter().filter_map(|(player, listed)| Some((player, listed.cash?)));
        let cash: Vec<_> = cash.filter(|(_, cash)| *cash > 0).collect();
        let says = format!("{wins:?} {cash:?}");
        let says =
            if does == Does::Refund { "the stakes go back".to_owned() } else { format!("{does:?} {says}") };
        let stake = snapshot.buy_in.as_ref().map(|amount| amount.minor_units).filter(|_| money);
        Self { money, stake, players, wins, says, status: snapshot.status.as_str(), does, ..self }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.does > Does::Hold
    }

    /// Whether a player counts as having played to the end: a list that is empty says nothing about it.
    pub(crate) fn lists(&self, player: &str) -> bool {
        self.players.is_empty() || self.players.contains_key(player)
    }
}
