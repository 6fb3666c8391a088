//! The lives of matches, from a seed: in both custodies, with every tie policy, every kind of end, ends that
//! contradict each other or say too little, late joiners, players who vanish, and players who meet in many
//! matches.

use std::collections::BTreeMap;

use matchpurse_domain::event::{
    ContestOutcome, Event, Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Outcome, Participant,
    Payload, PlayerOutcome, ProviderFailure, Reward, RewardKind,
};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_testkit::Dice;

use crate::model::{Rules, Tie};

/// Enough for all that one player can stake in a run.
const AMPLE: i64 = 1_000_000_000;
/// Who has money, but not for two matches at once.
const SHORT: &str = "q-short";
const SCARCE: i64 = 3_000;
const STAKE_MAX: usize = 3_000;
/// So few that every batch meets accounts of every other.
const PLAYERS: usize = 9;
/// More than any pot.
const ABSURD: i64 = 10_000_000;

pub(crate) fn rules() -> Vec<Rules> {
    let of = |source, currency, studio, fee_bps, tie| {
        let mut deposits = BTreeMap::new();
        if studio {
            deposits.extend((0..PLAYERS).map(|n| (format!("p{n}"), AMPLE)));
            deposits.insert(SHORT.to_owned(), SCARCE);
        }
        Rules { source, currency, studio, fee_bps, tie, deposits }
    };
    vec![
        of("cash", "USD", false, 1000, Tie::RefundFull),
        of("yen", "JPY", false, 333, Tie::RefundMinusFee),
        of("fils", "KWD", false, 250, Tie::Split),
        of("club", "USD", true, 1000, Tie::RefundFull),
        of("arena", "KWD", true, 725, Tie::RefundMinusFee),
        of("guild", "JPY", true, 777, Tie::Split),
    ]
}

/// All events of so many matches.
pub(crate) fn events(rules: &[Rules], seed: u64, matches: usize) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let mut all = Vec::new();
    for n in 0..matches {
        let rules = &rules[dice.below(rules.len())];
        let mut life = Life { dice: &mut dice, rules, id: format!("m{n}"), events: Vec::new(), made: 0 };
        match life.dice.below(100) {
            0..7 => life.contest(),
            7..13 => life.tournament(),
            _ => life.of_money(),
        }
        all.extend(life.events);
    }
    all
}

/// One match in the making.
struct Life<'l> {
    dice: &'l mut Dice,
    rules: &'l Rules,
    id: String,
    events: Vec<Event>,
    /// Counts what was said, so that no two events are the same bytes.
    made: usize,
}

/// A player and the side.
type Seat = (String, String);

/// Who plays.
struct Cast {
    stake: Option<i64>,
    seats: Vec<Seat>,
    /// The sides that can win.
    sides: Vec<String>,
}

impl Life<'_> {
    fn chance(&mut self, percent: usize) -> bool {
        self.dice.below(100) < percent
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.dice.below(of.len())].clone()
    }

    fn tell(&mut self, signed: bool, payload: Payload) {
        self.events.push(matchpurse_testkit::event(self.rules.source, signed, payload));
    }

    fn money(&self, amount: i64) -> Money {
        Money::new(amount, CurrencyCode::parse(self.rules.currency).unwrap())
    }

    fn snapshot(
        &mut self,
        kind: MatchKind,
        status: MatchStatus,
        stake: Option<i64>,
        seats: &[Seat],
    ) -> MatchSnapshot {
        let mut groups: BTreeMap<&str, Vec<Participant>> = BTreeMap::new();
        for (player, group) in seats {
            let participant = Participant { player_id: player.as_str().into(), reward: None };
            groups.entry(group).or_default().push(participant);
        }
        let groups: Vec<Group> = groups
            .into_iter()
            .map(|(group_id, players)| Group { group_id: group_id.to_owned(), name: None, players })
            .collect();
        self.made += 1;
        MatchSnapshot {
            match_id: self.id.clone(),
            kind,
            status,
            provider_status: status.as_str().to_owned(),
            format: self.chance(50).then_some(MatchFormat::GroupVsGroup),
            game_id: Some(format!("game-{}", self.made)),
            created_by: None,
            buy_in: stake.map(|stake| self.money(stake)),
            groups,
            winner_group_ids: Vec::new(),
        }
    }

    fn reward(&self, snapshot: &mut MatchSnapshot, player: &str, kind: RewardKind, amount: i64) {
        let amount = (kind == RewardKind::Cash).then(|| self.money(amount));
        for participant in snapshot.groups.iter_mut().flat_map(|group| &mut group.players) {
            if participant.player_id.as_str() == player {
                let (value, reference, metadata) = (None, None, None);
                participant.reward =
                    Some(Reward { kind, amount: amount.clone(), value, reference, metadata });
            }
        }
    }

    /// A free contest: every participant gets a copy of its outcome.
    fn contest(&mut self) {
        let players: Vec<Seat> =
            (0..2 + self.dice.below(3)).map(|n| (format!("p{n}"), "s".to_owned())).collect();
        for status in [MatchStatus::Open, MatchStatus::Confirmed] {
            if self.chance(70) {
                let snapshot = self.snapshot(MatchKind::FreeToPlay, status, None, &players);
                self.tell(true, Payload::MatchSnapshot(snapshot));
            }
        }
        let tie = self.chance(20);
        let mut winners = vec![0; usize::from(self.chance(90))];
        if self.chance(20) {
            winners.push(1);
        }
        for winner in winners {
            let outcome = |n| match (tie, n == winner) {
                (true, _) => Outcome::Tie,
                (false, true) => Outcome::Win,
                (false, false) => Outcome::Loss,
            };
            for (to, _) in &players {
                let of = |(n, (player, _)): (usize, &Seat)| PlayerOutcome {
                    player_id: player.as_str().into(),
                    outcome: outcome(n),
                    reward: None,
                };
                let outcomes = players.iter().enumerate().map(of).collect();
                let (contest_id, addressed_to) = (self.id.clone(), to.as_str().into());
                self.tell(
                    true,
                    Payload::ContestOutcome(ContestOutcome { contest_id, addressed_to, outcomes }),
                );
            }
        }
        if self.events.is_empty() || self.chance(20) {
            let snapshot = self.snapshot(MatchKind::FreeToPlay, MatchStatus::CanceledOther, None, &players);
            self.tell(true, Payload::MatchSnapshot(snapshot));
        }
    }

    /// A tournament's pool is the provider's own: nothing is held, whatever it names.
    fn tournament(&mut self) {
        let kind = MatchKind::Tournament;
        let seats: Vec<Seat> = (0..5).map(|n| (format!("p{n}"), format!("s{n}"))).collect();
        for (status, count) in [(MatchStatus::Open, 3), (MatchStatus::Locked, 5)] {
            let snapshot = self.snapshot(kind, status, Some(700), &seats[..count]);
            self.tell(true, Payload::MatchSnapshot(snapshot));
        }
        for _ in 0..1 + self.dice.below(2) {
            let (prize, winner) = (500 + self.dice.below(2), self.dice.below(2));
            let mut end = self.snapshot(kind, MatchStatus::Closed, Some(700), &seats);
            self.reward(&mut end, "p0", RewardKind::Cash, i64::try_from(prize).unwrap());
            end.winner_group_ids = vec![format!("s{winner}")];
            self.tell(true, Payload::MatchSnapshot(end));
        }
        if self.chance(30) {
            let end = self.snapshot(kind, MatchStatus::CanceledThroughApi, None, &[]);
            self.tell(true, Payload::MatchSnapshot(end));
        }
    }

    /// A match with stakes.
    fn of_money(&mut self) {
        match self.dice.below(100) {
            0..35 if self.rules.studio => self.of_somebody_short(SHORT),
            35..47 if self.rules.studio => self.of_somebody_short("x-penniless"),
            _ => self.of_the_solvent(),
        }
        if self.chance(8) {
            let failure = ProviderFailure {
                entity_id: self.id.clone(),
                code: "COMPLETION_FAILED".to_owned(),
                reason: "no answer".to_owned(),
                request_id: Some(format!("r{}", self.made)),
                attempt: Some(3),
                will_retry: Some(self.chance(30)),
            };
            self.tell(true, Payload::ProviderFailure(failure));
        }
    }

    fn cast(&mut self, count: usize) -> Cast {
        let names = self.dice.shuffled((0..PLAYERS).collect());
        let sides = [1, 2, 2, 3, count][self.dice.below(5)].min(count);
        let side = |n: usize| if sides == 1 { String::new() } else { format!("s{}", n % sides) };
        let seats: Vec<Seat> =
            names.iter().take(count).enumerate().map(|(n, name)| (format!("p{name}"), side(n))).collect();
        let sides = if sides == 1 { Vec::new() } else { (0..sides).map(side).collect() };
        let stake = match self.dice.below(100) {
            0..4 => None,
            4..8 => Some(0),
            _ => Some(i64::try_from(1 + self.dice.below(STAKE_MAX)).unwrap()),
        };
        Cast { stake, seats, sides }
    }

    fn status_on_the_way(&mut self) -> MatchStatus {
        use MatchStatus::{Confirmed, Dispute, Locked, PendingOutcomes};
        self.one(&[Confirmed, Confirmed, Locked, PendingOutcomes, Dispute])
    }

    fn kind(&mut self) -> MatchKind {
        self.one(&[MatchKind::Recreational, MatchKind::Platform])
    }

    /// One player may be unable to pay. Everybody is in every list, so that it is the same attempt each time,
    /// but that a penniless player may be left out at the end, or come only then.
    fn of_somebody_short(&mut self, short: &str) {
        let kind = self.kind();
        let count = 2 + self.dice.below(3);
        let mut cast = self.cast(count);
        let stake = Some(i64::try_from(1600 + self.dice.below(STAKE_MAX - 1600)).unwrap());
        let solvent = cast.seats.clone();
        let side = cast.sides.first().cloned().unwrap_or_default();
        cast.seats.push((short.to_owned(), side));
        let penniless = short.starts_with('x');
        let (on_the_way, at_the_end) = match self.dice.below(4) {
            0 if penniless => (&solvent, &cast.seats),
            1 if penniless => (&cast.seats, &solvent),
            _ => (&cast.seats, &cast.seats),
        };
        for _ in 0..self.dice.below(4) {
            let status = if self.chance(40) { MatchStatus::Open } else { self.status_on_the_way() };
            let snapshot = self.snapshot(kind, status, stake, on_the_way);
            self.tell(true, Payload::MatchSnapshot(snapshot));
        }
        let twice = on_the_way.len() == at_the_end.len() && self.chance(20);
        for _ in 0..1 + usize::from(twice) {
            use MatchStatus::{CanceledTimeout, Closed, ClosedTie};
            let status = self.one(&[Closed, Closed, ClosedTie, CanceledTimeout]);
            let mut end = self.snapshot(kind, status, stake, at_the_end);
            if status == Closed {
                end.winner_group_ids = vec![cast.sides.last().cloned().unwrap_or_default()];
            }
            self.tell(true, Payload::MatchSnapshot(end));
        }
    }

    fn of_the_solvent(&mut self) {
        let kind = self.kind();
        let count = 2 + self.dice.below(5);
        let cast = self.cast(count);
        // Not everybody is there all the time: one comes late, one is gone at the end, one comes only then.
        let (late, gone, last) = (self.chance(25), self.chance(30), self.chance(20));
        let all = cast.seats.len();
        let first = usize::from(last);
        let on_the_way = &cast.seats[first.min(all - 1)..];
        let at_the_end = &cast.seats[..all - usize::from(gone && all > 2)];
        let other_stake = self.chance(10);
        for step in 0..1 + self.dice.below(4) {
            let open = step == 0 || self.chance(15);
            let status = if open { MatchStatus::Open } else { self.status_on_the_way() };
            let few = late && (open || self.chance(30));
            let there = on_the_way.len() - usize::from(few && on_the_way.len() > 1);
            let stake = match self.dice.below(10) {
                0 | 1 => None,
                2 | 3 if other_stake => cast.stake.map(|stake| stake + 1),
                _ => cast.stake,
            };
            let seats = if self.chance(5) { &[] } else { &on_the_way[..there] };
            let snapshot = self.snapshot(kind, status, stake, seats);
            let signed = self.chance(90);
            self.tell(signed, Payload::MatchSnapshot(snapshot));
        }
        if self.chance(35) {
            let seats = if self.chance(50) { at_the_end } else { &cast.seats };
            self.end_that_says_too_little(kind, &cast, seats);
        }
        let ends = [0, 1, 1, 1, 1, 1, 2, 2, 2, 3][self.dice.below(10)];
        for _ in 0..ends {
            let (signed, end) = self.end(kind, &cast, at_the_end);
            if self.chance(15) {
                // The same in other bytes.
                let game_id = Some("another".to_owned());
                self.tell(signed, Payload::MatchSnapshot(MatchSnapshot { game_id, ..end.clone() }));
            }
            self.tell(signed, Payload::MatchSnapshot(end));
        }
    }

    /// An end that settles the match, if it comes first.
    fn end(&mut self, kind: MatchKind, cast: &Cast, seats: &[Seat]) -> (bool, MatchSnapshot) {
        use MatchStatus::{
            CanceledByOwner, CanceledNotAccepted, CanceledOther, CanceledThroughApi, CanceledTimeout, Closed,
            ClosedTie,
        };
        let canceled = self.one(&[
            CanceledByOwner,
            CanceledNotAccepted,
            CanceledThroughApi,
            CanceledTimeout,
            CanceledOther,
        ]);
        let pot = cast.stake.unwrap_or(0) * i64::try_from(seats.len()).unwrap();
        let wins = self.dice.shuffled(cast.sides.clone());
        match self.dice.below(100) {
            // Winners, and the pot is divided by the rules.
            0..35 if !wins.is_empty() => {
                let mut end = self.snapshot(kind, Closed, cast.stake, seats);
                end.winner_group_ids = wins[..1 + usize::from(self.chance(30))].to_vec();
                if self.chance(15) {
                    end.groups.clear();
                    end.buy_in = None;
                }
                (true, end)
            }
            // The provider's own figures: less than the pot, all of it or more.
            0..55 => {
                let mut end = self.snapshot(kind, Closed, cast.stake, seats);
                let prize = [pot - pot / 10, pot, pot + 77][self.dice.below(3)].max(5);
                let winner = self.one(seats);
                if !winner.1.is_empty() {
                    end.winner_group_ids = vec![winner.1.clone()];
                }
                self.reward(&mut end, &winner.0, RewardKind::Cash, prize);
                if self.chance(30) {
                    let loser = self.one(seats);
                    if loser.0 != winner.0 {
                        self.reward(&mut end, &loser.0, RewardKind::Cash, 0);
                    }
                }
                (true, end)
            }
            // A partial tie: several are paid.
            55..62 => {
                let status = self.one(&[Closed, ClosedTie]);
                let mut end = self.snapshot(kind, status, cast.stake, seats);
                end.winner_group_ids = wins.iter().take(1).cloned().collect();
                for (player, _) in &seats[..2.min(seats.len())] {
                    self.reward(&mut end, player, RewardKind::Cash, (pot / 3).max(0));
                }
                (true, end)
            }
            62..75 => {
                let mut end = self.snapshot(kind, ClosedTie, cast.stake, seats);
                let listless = self.chance(15);
                if listless {
                    end.groups.clear();
                    end.buy_in = None;
                }
                (listless || self.chance(85), end)
            }
            // A deletion names nobody; it may be the first that is heard of the match.
            75..85 => (true, self.snapshot(kind, CanceledOther, None, &[])),
            _ => {
                let signed = self.chance(50);
                (signed, self.snapshot(kind, canceled, cast.stake, seats))
            }
        }
    }

    /// An end from which nobody can know how the pot is divided.
    fn end_that_says_too_little(&mut self, kind: MatchKind, cast: &Cast, seats: &[Seat]) {
        let staked = cast.stake.unwrap_or(0) > 0;
        let mut end = self.snapshot(kind, MatchStatus::Closed, cast.stake, seats);
        end.winner_group_ids = cast.sides.iter().take(1).cloned().collect();
        let mut signed = true;
        let sided = !cast.sides.is_empty();
        match self.dice.below(6) {
            // Rewards for everybody, as they could have been won.
            0 if staked && sided && !self.rules.studio => {
                for (player, _) in seats {
                    self.reward(&mut end, player, RewardKind::Cash, ABSURD);
                }
            }
            1 | 5 if staked && sided && !self.rules.studio => {
                self.reward(&mut end, &seats[0].0, RewardKind::Cash, 0);
            }
            2 if staked && sided && !self.rules.studio => {
                self.reward(&mut end, &seats[0].0, RewardKind::Studio, 0);
            }
            3 | 4 if staked && sided => signed = false,
            _ => end.winner_group_ids = vec!["nobody's".to_owned()],
        }
        self.tell(signed, Payload::MatchSnapshot(end));
    }
}
