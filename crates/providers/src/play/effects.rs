//! What a set of deliveries must lead to, or has led to, as plain data. All amounts are minor units.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Effects by the source's name.
pub type Effects = BTreeMap<String, SourceEffects>;

/// The effects of one source's deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceEffects {
    /// Matches by the provider's id.
    pub matches: BTreeMap<String, MatchEffect>,
    /// Rewards.
    #[serde(with = "pairs")]
    pub grants: BTreeMap<GrantKey, GrantEffect>,
    /// What players have won and lost, by player; matches on game servers do not count here.
    pub records: BTreeMap<String, RecordEffect>,
    /// Totals over the finished matches on game servers, by player.
    pub stats: BTreeMap<String, StatsEffect>,
    /// What each finished match on a game server adds to its players' totals, by match and player; none when nobody
    /// looked.
    pub lines: Option<BTreeMap<String, BTreeMap<String, StatsEffect>>>,
    /// Who was voted out of which match.
    pub kicks: BTreeSet<KickKey>,
    /// Offers by the provider's id.
    pub offers: BTreeMap<String, OfferEffect>,
    /// Banned or not, by player; who was never banned may be missing.
    pub standings: BTreeMap<String, StandingEffect>,
    /// Wishes to turn money into credit, by their id.
    pub conversions: BTreeMap<String, ConversionEffect>,
    /// Things for a person to look at, by kind.
    pub anomalies: BTreeMap<String, u64>,
    /// Deliveries that were kept but not understood, by the kind of the reason.
    pub parked: BTreeMap<String, u64>,
    /// Distinct events; a repeat is none.
    pub events: u64,
    /// Deliveries that were refused with 401; none when nobody counted.
    pub refused: Option<u64>,
}

/// A match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchEffect {
    /// The kind, as the database writes it.
    pub kind: String,
    /// The status, as the database writes it.
    pub status: String,
    /// How it ended: `payout`, `tie`, `refund`; none while it runs.
    pub settlement: Option<String>,
    /// What each player has won (above zero) or lost: all that went to the player's account less all that
    /// went from it. A player who is not here has zero.
    pub net: BTreeMap<String, i64>,
    /// The pot, what was paid, what went back, what was kept as the fee. None where it depends on the order.
    pub amounts: Option<MatchAmounts>,
}

/// A match's amounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchAmounts {
    /// All that came into escrow.
    pub pot: i64,
    /// Went to players as winnings.
    pub paid: i64,
    /// Went back to players.
    pub refunded: i64,
    /// Was kept.
    pub fee: i64,
}

/// What names a reward.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GrantKey {
    /// What it was given for, as the database writes it: `contest`, `match`, `postback`, `conversion`.
    pub kind: String,
    /// The provider's id of that.
    pub contest: String,
    /// Who gets it.
    pub player: String,
    /// What tells it from the player's other rewards there.
    pub reference: String,
}

/// A reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEffect {
    /// The state, as the database writes it. An expected `granted` is met by every state that follows when
    /// the studio is told of it.
    pub state: String,
    /// The amount, where it is money or points.
    pub amount: Option<i64>,
}

/// Who was voted out of which match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KickKey {
    /// The provider's id of the match.
    pub match_id: String,
    /// The player.
    pub player: String,
}

/// How a player's matches went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordEffect {
    /// Won.
    pub wins: u64,
    /// Lost.
    pub losses: u64,
    /// Tied.
    pub ties: u64,
}

/// A player's totals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsEffect {
    /// Finished matches.
    pub matches: u64,
    /// Matches whose side had the higher score.
    pub wins: u64,
    /// Matches whose side had the lower score.
    pub losses: u64,
    /// Matches with equal scores.
    pub draws: u64,
    /// Rounds of these matches.
    pub rounds: u64,
    /// Sums of the counters, by the counter's name; one that is zero may be missing.
    pub counters: BTreeMap<String, i64>,
}

/// An offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferEffect {
    /// Open to players who have not started it.
    pub open: bool,
    /// When it was last opened or closed, by the provider's clock, in microseconds since the Unix epoch.
    pub changed_at_us: i64,
}

/// A player's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingEffect {
    /// Shown no offers.
    pub banned: bool,
    /// When that was set, by the provider's clock, in microseconds since the Unix epoch.
    pub changed_at_us: i64,
}

/// A wish to turn money into credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionEffect {
    /// The player.
    pub player: String,
    /// The money.
    pub amount: i64,
    /// What was answered.
    pub answer: String,
}

impl SourceEffects {
    /// Adds the effects of another life of the same source.
    pub fn add(&mut self, other: Self) {
        self.matches.extend(other.matches);
        self.grants.extend(other.grants);
        for (player, record) in other.records {
            self.records.entry(player).or_default().add(record);
        }
        for (player, stats) in other.stats {
            self.stats.entry(player).or_default().add(stats);
        }
        if let Some(lines) = other.lines {
            self.lines.get_or_insert_default().extend(lines);
        }
        self.kicks.extend(other.kicks);
        for (offer, effect) in other.offers {
            let newest = self.offers.entry(offer).or_insert(effect);
            if effect.changed_at_us > newest.changed_at_us {
                *newest = effect;
            }
        }
        for (player, effect) in other.standings {
            let newest = self.standings.entry(player).or_insert(effect);
            // Of two at one time the ban counts.
            if (effect.changed_at_us, effect.banned) > (newest.changed_at_us, newest.banned) {
                *newest = effect;
            }
        }
        self.conversions.extend(other.conversions);
        for (counts, more) in [(&mut self.anomalies, other.anomalies), (&mut self.parked, other.parked)] {
            for (kind, count) in more {
                let sum = counts.entry(kind).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        self.events = self.events.saturating_add(other.events);
        self.refused = match (self.refused, other.refused) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }

    /// One win, loss or tie more.
    pub(crate) fn record(&mut self, player: &str, wins: u64, losses: u64, ties: u64) {
        self.records.entry(player.to_owned()).or_default().add(RecordEffect { wins, losses, ties });
    }
}

impl RecordEffect {
    fn add(&mut self, other: Self) {
        self.wins = self.wins.saturating_add(other.wins);
        self.losses = self.losses.saturating_add(other.losses);
        self.ties = self.ties.saturating_add(other.ties);
    }
}

impl StatsEffect {
    fn add(&mut self, other: Self) {
        self.matches = self.matches.saturating_add(other.matches);
        self.wins = self.wins.saturating_add(other.wins);
        self.losses = self.losses.saturating_add(other.losses);
        self.draws = self.draws.saturating_add(other.draws);
        self.rounds = self.rounds.saturating_add(other.rounds);
        for (name, count) in other.counters {
            let sum = self.counters.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

impl MatchEffect {
    /// Adds to what a player has won or lost; who ends at zero is left out.
    pub(crate) fn move_money(&mut self, player: &str, amount: i64) {
        let net = self.net.entry(player.to_owned()).or_default();
        *net = net.saturating_add(amount);
        if *net == 0 {
            self.net.remove(player);
        }
    }
}

/// A map whose keys are no texts, as a list of pairs: JSON has no other way.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(from).map(|pairs| pairs.into_iter().collect())
    }
}
