//! The auditor: what the events of a match must have done to its money.
//!
//! It knows the events and the rules, and nothing of the code. The rules are written a second time here, and in
//! another form: the code goes step by step through a state machine, the auditor makes statements about sets.
//! The events of a match fall into those that came **before** its end, the **end**, and those that came
//! **after** it; within a part no order may matter. Which event fell into which part is for the database to say:
//! [`allowed`] tries every division that its transfers do not contradict, and for each says exactly what must
//! be there.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::facts::{Does, Fact};

/// What a tie does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    RefundFull,
    RefundMinusFee,
    Split,
}

/// The rules of a source, as its configuration has them.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) source: &'static str,
    pub(crate) currency: &'static str,
    /// True where the studio holds the stakes.
    pub(crate) studio: bool,
    pub(crate) fee_bps: i64,
    pub(crate) tie: Tie,
    /// What each player has paid in, where the studio holds the stakes.
    pub(crate) deposits: BTreeMap<String, i64>,
}

/// What a match's books say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Books {
    pub(crate) status: String,
    pub(crate) settlement: Option<String>,
    pub(crate) pot: i64,
    pub(crate) paid: i64,
    pub(crate) refunded: i64,
    pub(crate) fee: i64,
    pub(crate) top_up: i64,
    /// What each player won or lost, zeros left out.
    pub(crate) nets: BTreeMap<String, i64>,
    /// How many anomalies of which kind.
    pub(crate) anomalies: BTreeMap<String, usize>,
}

/// Which events the transfers name, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// On holds.
    pub(crate) held_by: BTreeSet<String>,
    /// On everything else.
    pub(crate) ended_by: BTreeSet<String>,
}

/// How the pot is divided.
enum Division {
    Figures(BTreeMap<String, i64>),
    /// By side.
    Winners(BTreeMap<String, Vec<String>>),
    Tie,
}

/// Who sits in the match and who has staked.
#[derive(Debug, Clone, Default)]
struct Table {
    /// None when nobody has named one.
    named_stake: Option<i64>,
    stake: i64,
    groups: BTreeMap<String, String>,
    held: BTreeSet<String>,
}

type Anomalies = BTreeSet<(&'static str, String)>;

impl Fact {
    fn figures(&self, rules: &Rules) -> BTreeMap<String, i64> {
        let of_provider = self.money && !rules.studio;
        let cash = self.players.iter().filter(|_| of_provider);
        cash.filter_map(|(player, listed)| Some((player.clone(), listed.cash?))).collect()
    }

    /// [`Fact::divide`] for an end that came when nothing else was known.
    fn divide_alone(&self, rules: &Rules, table: &Table) -> Result<(), &'static str> {
        if self.does == Does::Refund { Ok(()) } else { self.divide(rules, table).map(|_| ()) }
    }

    /// Whether this end names the sides that have won and what was given. It may say less: the winners without the
    /// figures, or the figures with some of the winners.
    fn agrees(&self, rules: &Rules, won: &BTreeSet<String>, given: &BTreeMap<String, i64>) -> bool {
        let cash = self.players.iter().filter_map(|(player, listed)| Some((player.clone(), listed.cash?)));
        let figures: BTreeMap<String, i64> = cash.filter(|(_, cash)| *cash > 0 && !rules.studio).collect();
        let winners = match self.does {
            Does::Payout => self.wins == *won || !figures.is_empty() && self.wins.is_subset(won),
            _ => true,
        };
        !self.contest && winners && (figures.is_empty() || figures == *given)
    }

    /// How this end divides the money that is on the table; or why nobody can know.
    fn divide(&self, rules: &Rules, table: &Table) -> Result<Division, &'static str> {
        let pool = table.pot();
        let (tie, figures) = (self.does == Does::Tie, self.figures(rules));
        let total: i64 = figures.values().sum();
        // Without a signature over the body money may only go back to where it came from.
        let gives_back = tie && total == 0 && rules.tie == Tie::RefundFull;
        if pool > 0 && !self.signed && !gives_back {
            return Err("payout_unauthenticated");
        }
        if total > 0 {
            let lost = |player: &String| !self.wins.contains(&table.groups[player]);
            let losers_get = figures.iter().any(|(player, amount)| *amount > 0 && lost(player));
            let playing = table.held.iter().filter(|player| self.lists(player)).count();
            let divided = table.stake * i64::try_from(playing).unwrap();
            let implausible = !self.wins.is_empty() && losers_get && total > divided;
            return if implausible { Err("payout_unknown") } else { Ok(Division::Figures(figures)) };
        }
        if tie {
            return Ok(Division::Tie);
        }
        let mut winners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (player, group) in &table.groups {
            let staked = table.stake == 0 || table.held.contains(player);
            if self.wins.contains(group) && self.lists(player) && staked {
                winners.entry(group.clone()).or_default().push(player.clone());
            }
        }
        if winners.is_empty() && self.money {
            return Err("winner_unknown");
        }
        let names_rewards = !figures.is_empty() || self.players.values().any(|l| l.studio_reward);
        if self.money && !rules.studio && pool > 0 && names_rewards {
            return Err("payout_unknown");
        }
        Ok(Division::Winners(winners))
    }
}

/// What the books of a match may say, given all its events and the events that its transfers name.
pub(crate) fn allowed(
    rules: &Rules,
    scarce: &BTreeSet<String>,
    match_id: &str,
    facts: &[Fact],
    evidence: &Evidence,
) -> Vec<Books> {
    let mut all = Vec::new();
    let ends = facts.iter().enumerate().filter(|(_, fact)| fact.is_end()).map(|(index, _)| Some(index));
    for end in ends.chain([None]) {
        let others: Vec<usize> = (0..facts.len()).filter(|index| Some(*index) != end).collect();
        for earlier in 0_u32..1 << others.len() {
            let part = |wanted: u32| {
                let chosen = others.iter().enumerate().filter(move |(bit, _)| earlier >> bit & 1 == wanted);
                chosen.map(|(_, index)| &facts[*index]).collect::<Vec<&Fact>>()
            };
            let history = History {
                rules,
                scarce,
                match_id,
                before: part(1),
                end: end.map(|index| &facts[index]),
                after: part(0),
            };
            if history.fits(evidence) {
                all.extend(history.books());
            }
        }
    }
    all.sort_by_key(|books| format!("{books:?}"));
    all.dedup();
    all
}

/// The events of a match, divided.
struct History<'h> {
    rules: &'h Rules,
    /// Players who have money, but maybe not enough for all that they play.
    scarce: &'h BTreeSet<String>,
    match_id: &'h str,
    before: Vec<&'h Fact>,
    end: Option<&'h Fact>,
    after: Vec<&'h Fact>,
}

impl History<'_> {
    fn fits(&self, evidence: &Evidence) -> bool {
        let ended = |id: &String| self.end.is_some_and(|end| end.id == *id);
        let held = |id: &String| ended(id) || self.before.iter().any(|fact| fact.id == *id);
        (self.end.is_some() || self.after.is_empty())
            && evidence.ended_by.iter().all(ended)
            && evidence.held_by.iter().all(held)
    }

    /// Usually one; more where it depends on more than this division.
    fn books(&self) -> Vec<Books> {
        let mut all = Vec::new();
        for named_stake in self.first_stakes() {
            let laid = Table { named_stake, stake: named_stake.unwrap_or(0), ..Table::default() };
            for (table, anomalies) in self.before_the_end(laid) {
                match self.end {
                    None => all.push(self.still_running(&table, anomalies)),
                    Some(end) if matches!(end.does, Does::Payout | Does::Tie) => {
                        for (table, anomalies) in self.at_the_end(end, &table, &anomalies) {
                            if let Ok(division) = end.divide(self.rules, &table) {
                                all.push(self.settled(end, &division, &table, anomalies));
                            }
                        }
                    }
                    Some(end) => all.push(self.called_off(end, &table, anomalies)),
                }
            }
        }
        all
    }

    /// The first stake stays: any that came before the end, and the end's own if nobody had named one.
    fn first_stakes(&self) -> BTreeSet<Option<i64>> {
        let named: BTreeSet<Option<i64>> =
            self.before.iter().map(|fact| fact.stake).filter(Option::is_some).collect();
        if named.is_empty() { BTreeSet::from([self.end.and_then(|end| end.stake)]) } else { named }
    }

    /// As soon as one event says that stakes are held, and one how much, everybody who was named has staked.
    /// Where the studio holds the stakes, all of an attempt fails when one has not the money.
    fn before_the_end(&self, mut table: Table) -> Vec<(Table, Anomalies)> {
        let stake = table.stake;
        let mut anomalies = Anomalies::new();
        for other in self.before.iter().chain(&self.end).filter_map(|fact| fact.stake) {
            if other != stake {
                anomalies.insert(("buy_in_conflict", other.to_string()));
            }
        }
        for fact in &self.before {
            table.sit(fact);
        }
        let Some(must_have_failed) = self.undecided(stake, &mut anomalies) else { return Vec::new() };
        let everybody: BTreeSet<String> = table.groups.keys().cloned().collect();
        if stake == 0 || everybody.is_empty() || self.before.iter().all(|fact| fact.does == Does::Nothing) {
            return if must_have_failed { Vec::new() } else { vec![(table, anomalies)] };
        }
        let whole = Table { held: everybody.clone(), ..table.clone() };
        let Some((short, never)) = self.short(&everybody) else {
            return if must_have_failed { Vec::new() } else { vec![(whole, anomalies)] };
        };
        let mut failed = anomalies.clone();
        failed.insert(("hold_failed", short));
        let mut ways = vec![(table, failed.clone())];
        if !never && !must_have_failed {
            ways.push((whole.clone(), anomalies));
        }
        if !never && self.before.len() > 1 {
            ways.push((whole, failed));
        }
        ways
    }

    /// An end that does not say enough to be settled changes nothing but that a person is told. None when one of
    /// them would have ended the match; true when one was undecided only because a stake could not be had.
    fn undecided(&self, stake: i64, anomalies: &mut Anomalies) -> Option<bool> {
        let mut unheld = false;
        for fact in self.before.iter().filter(|fact| fact.is_end()) {
            let mut table = Table { stake, ..Table::default() };
            table.sit(fact);
            let empty = table.clone();
            table.held = if stake > 0 { fact.players.keys().cloned().collect() } else { BTreeSet::new() };
            let listed = table.held.clone();
            let kind = match fact.divide_alone(self.rules, &table) {
                Err(kind) => kind,
                Ok(()) => {
                    self.short(&listed)?;
                    unheld = true;
                    anomalies.extend(listed.into_iter().map(|player| ("hold_missing", player)));
                    fact.divide_alone(self.rules, &empty).err()?
                }
            };
            anomalies.insert((kind, String::new()));
        }
        Some(unheld)
    }

    /// Who among these may be unable to pay the stake, and whether that is for certain.
    fn short(&self, players: &BTreeSet<String>) -> Option<(String, bool)> {
        let deposit = |player: &String| self.rules.deposits.get(player).copied().unwrap_or(0);
        let mut all = players.iter().filter(|_| self.rules.studio);
        let short = all.find(|player| deposit(player) == 0 || self.scarce.contains(*player))?;
        Some((short.clone(), deposit(short) == 0))
    }

    /// An end's own list says who played: they stake now if they have not yet.
    fn at_the_end(&self, end: &Fact, table: &Table, anomalies: &Anomalies) -> Vec<(Table, Anomalies)> {
        let mut table = table.clone();
        table.sit(end);
        let listed = table.groups.keys().filter(|player| end.lists(player));
        let missing: BTreeSet<String> =
            listed.filter(|player| !table.held.contains(*player)).cloned().collect();
        if table.stake == 0 || missing.is_empty() {
            return vec![(table, anomalies.clone())];
        }
        let mut whole = table.clone();
        whole.held.extend(missing.iter().cloned());
        let Some((short, never)) = self.short(&missing) else { return vec![(whole, anomalies.clone())] };
        let mut failed = anomalies.clone();
        failed.insert(("hold_failed", short));
        if !end.players.is_empty() {
            failed.extend(missing.into_iter().map(|player| ("hold_missing", player)));
        }
        let mut ways = vec![(table, failed)];
        if !never {
            ways.push((whole, anomalies.clone()));
        }
        ways
    }

    fn still_running(&self, table: &Table, anomalies: Anomalies) -> Books {
        const CLIMB: [&str; 5] = ["OPEN", "CONFIRMED", "LOCKED", "PENDING_OUTCOMES", "DISPUTE"];
        let reached = |fact: &&Fact| {
            let status = if fact.is_end() { "PENDING_OUTCOMES" } else { fact.status };
            CLIMB.iter().position(|step| *step == status).unwrap()
        };
        let status = CLIMB[self.before.iter().map(reached).max().unwrap_or(0)].to_owned();
        let nets = table.held.iter().map(|player| (player.clone(), -table.stake)).collect();
        Books { status, pot: table.pot(), nets, anomalies: counted(anomalies), ..Books::default() }
    }

    fn called_off(&self, end: &Fact, table: &Table, mut anomalies: Anomalies) -> Books {
        self.contradictions(end, table, &BTreeMap::new(), &mut anomalies);
        Books {
            status: end.status.to_owned(),
            settlement: Some("refund".to_owned()),
            pot: table.pot(),
            refunded: table.pot(),
            anomalies: counted(anomalies),
            ..Books::default()
        }
    }

    fn settled(&self, end: &Fact, division: &Division, table: &Table, mut anomalies: Anomalies) -> Books {
        let mut books = Books {
            status: end.status.to_owned(),
            settlement: Some(if end.does == Does::Tie { "tie" } else { "payout" }.to_owned()),
            pot: table.pot(),
            ..Books::default()
        };
        // Who staked and is not in the final list gets the stake back.
        let (playing, vanished): (Vec<String>, Vec<String>) =
            table.held.iter().cloned().partition(|player| end.lists(player));
        books.refunded = table.stake * i64::try_from(vanished.len()).unwrap();
        anomalies.extend(vanished.into_iter().map(|player| ("participant_vanished", player)));
        let pool = books.pot - books.refunded;
        books.nets = playing.iter().map(|player| (player.clone(), -table.stake)).collect();
        let fee = pool * self.rules.fee_bps / 10_000;
        let mut given = BTreeMap::new();
        let mut pay = |books: &mut Books, player: &String, amount: i64| {
            books.paid += amount;
            *books.nets.entry(player.clone()).or_default() += amount;
            given.extend((amount > 0).then(|| (player.clone(), amount)));
        };
        match division {
            Division::Figures(figures) => {
                let total: i64 = figures.values().sum();
                books.top_up = (total - pool).max(0);
                books.pot += books.top_up;
                for (player, amount) in figures {
                    pay(&mut books, player, *amount);
                }
            }
            Division::Winners(groups) => {
                let names: Vec<String> = groups.keys().cloned().collect();
                for (winners, prize) in groups.values().zip(self.shares(pool - fee, &names)) {
                    for (winner, share) in winners.iter().zip(self.shares(prize, winners)) {
                        pay(&mut books, winner, share);
                    }
                }
            }
            Division::Tie => {
                let kept = if self.rules.tie == Tie::RefundFull { 0 } else { fee };
                let split = self.rules.tie == Tie::Split;
                let parts = self.shares(if split { pool - kept } else { kept }, &playing);
                for (player, part) in playing.iter().zip(parts) {
                    if split {
                        pay(&mut books, player, part);
                    } else {
                        books.refunded += table.stake - part;
                        *books.nets.entry(player.clone()).or_default() += table.stake - part;
                    }
                }
            }
        }
        // What is left is the fee, so no unit is lost.
        books.fee = books.pot - books.paid - books.refunded;
        self.contradictions(end, table, &given, &mut anomalies);
        books.nets.retain(|_, net| *net != 0);
        books.anomalies = counted(anomalies);
        books
    }

    /// The first end stays, and what it settled; what says something else is told once. `given` is what was paid.
    fn contradictions(
        &self,
        end: &Fact,
        table: &Table,
        given: &BTreeMap<String, i64>,
        anomalies: &mut Anomalies,
    ) {
        for stake in self.after.iter().filter_map(|fact| fact.stake) {
            let without = end.does == Does::Refund && table.named_stake.is_none();
            if stake > 0 && stake != table.stake && !without {
                anomalies.insert(("buy_in_conflict", stake.to_string()));
            }
        }
        let played = table.groups.iter().filter(|(player, _)| end.lists(player));
        let won = played.filter(|(player, side)| given.contains_key(*player) || end.wins.contains(*side));
        let won: BTreeSet<String> = won.map(|(_, side)| side.clone()).collect();
        let known: BTreeSet<&str> =
            self.before.iter().filter(|fact| fact.is_end()).map(|fact| fact.says.as_str()).collect();
        for fact in self.after.iter().filter(|fact| fact.is_end()) {
            let other_way = fact.does != end.does && !(fact.contest && end.does != Does::Refund);
            let agrees = !other_way && (fact.says == end.says || fact.agrees(self.rules, &won, given));
            if !agrees && !known.contains(fact.says.as_str()) {
                anomalies.insert(if other_way {
                    // Of a contest only that it was decided is told.
                    let about = if fact.contest { String::new() } else { fact.says.clone() };
                    ("terminal_conflict", about)
                } else {
                    ("outcome_conflict", fact.says.clone())
                });
            }
        }
    }

    /// Equal shares; what is left over goes, a unit each, to those with the smallest SHA-256 of match and name.
    fn shares(&self, amount: i64, names: &[String]) -> Vec<i64> {
        let count = i64::try_from(names.len()).unwrap();
        let draw = |name: &String| Sha256::digest(format!("{}\0{name}", self.match_id)).to_vec();
        let place = |name| names.iter().filter(|other| draw(other) < draw(name)).count();
        let extra = |name| i64::from(i64::try_from(place(name)).unwrap() < amount % count);
        names.iter().map(|name| amount / count + extra(name)).collect()
    }
}

impl Table {
    /// An end's list says for good on which side somebody played.
    fn sit(&mut self, fact: &Fact) {
        for (player, listed) in &fact.players {
            let group = self.groups.entry(player.clone()).or_insert_with(|| listed.group.clone());
            if fact.is_end() {
                group.clone_from(&listed.group);
            }
        }
    }

    fn pot(&self) -> i64 {
        self.stake * i64::try_from(self.held.len()).unwrap()
    }
}

fn counted(anomalies: Anomalies) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (kind, _) in anomalies {
        *counts.entry(kind.to_owned()).or_default() += 1;
    }
    counts
}
