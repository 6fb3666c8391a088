//! What players expect to see, from sums of counters: exact fractions, rounded only when they are shown.
//!
//! A figure whose denominator is nothing does not exist: who never died has no kills per death, not infinitely
//! many and not as many as kills. Sums over several matches are divided once, so a long match weighs more than
//! a short one.

use std::num::NonZeroU64;

use super::state::Totals;

/// A fraction of whole numbers, in no lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    numerator: i128,
    denominator: NonZeroU64,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Kills per death.
    Kd,
    /// Damage per round.
    Adr,
    /// Kills per round.
    Kr,
    /// Assists per round.
    Ar,
    /// Deaths per round.
    Dr,
    /// The HLTV 1.0 rating; see `rating`.
    Rating,
    /// Percent of kills that were headshots.
    HsPercent,
    /// Percent of kills with a pistol.
    PistolPercent,
    /// Percent of kills with a sniper rifle.
    SniperPercent,
    /// Percent of a round's first duels that the player was in and won.
    EntryPercent,
    /// First duels per round.
    EntryRate,
    /// Percent of clutches won.
    ClutchPercent,
    /// Rounds with two kills or more, per round.
    MultiKillRate,
    /// Percent of flashbangs that blinded an enemy.
    FlashPercent,
    /// Enemies blinded per flashbang.
    EnemiesPerFlash,
    /// Enemies blinded per round.
    FlashRate,
    /// Damage by grenades and fire per round.
    UtilityAdr,
    /// Damage by grenades and fire per one thrown.
    UtilityPerThrow,
    /// Percent of rounds in which the player was the most valuable one.
    MvpPercent,
    /// Percent of matches won; a draw is no win.
    WinPercent,
}

/// The counters by name, widened so that no formula overflows.
struct Counts {
    rounds: i128,
    matches: i128,
    wins: i128,
    kills: i128,
    assists: i128,
    deaths: i128,
    mvps: i128,
    multi: [i128; 4],
    headshots: i128,
    pistol: i128,
    sniper: i128,
    damage: i128,
    entries: i128,
    entries_won: i128,
    flashes: i128,
    flashes_good: i128,
    blinded: i128,
    utility: i128,
    utility_damage: i128,
    clutches: i128,
    clutches_won: i128,
}

impl Fraction {
    /// A fraction, if its denominator is positive. A counter below zero divides nothing.
    fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let denominator = NonZeroU64::new(u64::try_from(denominator).ok()?)?;
        Some(Self { numerator, denominator })
    }

    /// The fraction times ten to the power of `places`, to the nearest whole number; halves go up. None beyond
    /// 18 places or the range.
    pub fn scaled(self, places: u8) -> Option<i64> {
        let denominator = i128::from(self.denominator.get());
        let factor = 10_i128.checked_pow(u32::from(places).min(18))?;
        let doubled = self.numerator.checked_mul(factor)?.checked_mul(2)?.checked_add(denominator)?;
        i64::try_from(doubled.checked_div_euclid(denominator.checked_mul(2)?)?).ok()
    }
}

impl Figure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 20] = [
        Self::Rating,
        Self::Kd,
        Self::Adr,
        Self::Kr,
        Self::Ar,
        Self::Dr,
        Self::HsPercent,
        Self::PistolPercent,
        Self::SniperPercent,
        Self::EntryPercent,
        Self::EntryRate,
        Self::ClutchPercent,
        Self::MultiKillRate,
        Self::FlashPercent,
        Self::EnemiesPerFlash,
        Self::FlashRate,
        Self::UtilityAdr,
        Self::UtilityPerThrow,
        Self::MvpPercent,
        Self::WinPercent,
    ];

    /// How many decimal places are shown.
    pub const PLACES: u8 = 3;

    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kd => "kd",
            Self::Adr => "adr",
            Self::Kr => "kr",
            Self::Ar => "ar",
            Self::Dr => "dr",
            Self::Rating => "rating",
            Self::HsPercent => "hs_percent",
            Self::PistolPercent => "pistol_percent",
            Self::SniperPercent => "sniper_percent",
            Self::EntryPercent => "entry_percent",
            Self::EntryRate => "entries_per_round",
            Self::ClutchPercent => "clutch_percent",
            Self::MultiKillRate => "multi_kills_per_round",
            Self::FlashPercent => "flash_percent",
            Self::EnemiesPerFlash => "enemies_per_flash",
            Self::FlashRate => "enemies_flashed_per_round",
            Self::UtilityAdr => "utility_damage_per_round",
            Self::UtilityPerThrow => "utility_damage_per_throw",
            Self::MvpPercent => "mvp_percent",
            Self::WinPercent => "win_percent",
        }
    }

    /// The figure of these sums; none when there is nothing to divide by.
    pub fn of(self, totals: &Totals) -> Option<Fraction> {
        let n = Counts::of(totals);
        let percent = |part: i128, of| Fraction::new(part.checked_mul(100)?, of);
        match self {
            Self::Kd => Fraction::new(n.kills, n.deaths),
            Self::Adr => Fraction::new(n.damage, n.rounds),
            Self::Kr => Fraction::new(n.kills, n.rounds),
            Self::Ar => Fraction::new(n.assists, n.rounds),
            Self::Dr => Fraction::new(n.deaths, n.rounds),
            Self::Rating => rating(&n),
            Self::HsPercent => percent(n.headshots, n.kills),
            Self::PistolPercent => percent(n.pistol, n.kills),
            Self::SniperPercent => percent(n.sniper, n.kills),
            Self::EntryPercent => percent(n.entries_won, n.entries),
            Self::EntryRate => Fraction::new(n.entries, n.rounds),
            Self::ClutchPercent => percent(n.clutches_won, n.clutches),
            Self::MultiKillRate => Fraction::new(n.multi.iter().sum(), n.rounds),
            Self::FlashPercent => percent(n.flashes_good, n.flashes),
            Self::EnemiesPerFlash => Fraction::new(n.blinded, n.flashes),
            Self::FlashRate => Fraction::new(n.blinded, n.rounds),
            Self::UtilityAdr => Fraction::new(n.utility_damage, n.rounds),
            Self::UtilityPerThrow => Fraction::new(n.utility_damage, n.utility),
            Self::MvpPercent => percent(n.mvps, n.rounds),
            Self::WinPercent => percent(n.wins, n.matches),
        }
    }

    /// The figure as it is shown: times a thousand, to the nearest; see [`Figure::PLACES`].
    pub fn milli(self, totals: &Totals) -> Option<i64> {
        self.of(totals)?.scaled(Self::PLACES)
    }
}

/// The first rating of HLTV.org, the last one that needs no more than these counters: the mean of three figures,
/// each divided by what was then the average.
///
/// ```text
/// (kills / rounds / 0.679  +  0.7 · (rounds − deaths) / rounds / 0.317  +  points / rounds / 1.277) / 2.7
/// ```
///
/// Points are one for a round with one kill, 4, 9, 16 and 25 for one with two to five.
fn rating(n: &Counts) -> Option<Fraction> {
    const KILLS: i128 = 679;
    const SURVIVAL: i128 = 317;
    const MULTI: i128 = 1277;
    let [double, triple, quadra, penta] = n.multi;
    let in_multi = [(double, 2_i128), (triple, 3), (quadra, 4), (penta, 5)];
    let sum = |power: u32| {
        in_multi.iter().try_fold(0_i128, |sum, (rounds, kills)| {
            sum.checked_add(rounds.checked_mul(kills.checked_pow(power)?)?)
        })
    };
    // Kills may be fewer than the rounds tell, because a team kill lowers them: then no round had a single one.
    let singles = n.kills.checked_sub(sum(1)?)?.max(0);
    let points = singles.checked_add(sum(2)?)?;
    let survived = n.rounds.checked_sub(n.deaths)?;
    // Everything times 1000 for the averages and times 10 for the 0.7 and the 2.7.
    let terms =
        [(n.kills, 10 * SURVIVAL * MULTI), (survived, 7 * KILLS * MULTI), (points, 10 * KILLS * SURVIVAL)];
    let sum =
        terms.iter().try_fold(0_i128, |sum, (count, factor)| sum.checked_add(count.checked_mul(*factor)?))?;
    Fraction::new(sum.checked_mul(1000)?, n.rounds.checked_mul(27 * KILLS * SURVIVAL * MULTI)?)
}

impl Counts {
    fn of(totals: &Totals) -> Self {
        // In the order of `COUNTER_NAMES`.
        let [
            kills,
            assists,
            deaths,
            mvps,
            _score,
            double,
            triple,
            quadra,
            penta,
            headshots,
            pistol,
            sniper,
            damage,
            entries,
            entries_won,
            flashes,
            flashes_good,
            blinded,
            utility,
            utility_damage,
            clutches,
            clutches_won,
        ] = totals.counters.map(i128::from);
        Self {
            rounds: totals.rounds.into(),
            matches: totals.matches.into(),
            wins: totals.wins.into(),
            kills,
            assists,
            deaths,
            mvps,
            multi: [double, triple, quadra, penta],
            headshots,
            pistol,
            sniper,
            damage,
            entries,
            entries_won,
            flashes,
            flashes_good,
            blinded,
            utility,
            utility_damage,
            clutches,
            clutches_won,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::COUNTER_NAMES;

    /// Of 20 rounds of a match that was won, with these counters.
    fn totals(counters: &[(&str, i64)]) -> Totals {
        let mut totals = Totals { matches: 1, wins: 1, rounds: 20, ..Totals::default() };
        for (name, count) in counters {
            let place = COUNTER_NAMES.iter().position(|known| known == name).unwrap();
            totals.counters[place] = *count;
        }
        totals
    }

    /// The published example of the rating: 1.79.
    fn published() -> Totals {
        totals(&[("kills", 24), ("deaths", 12), ("double_kills", 3), ("triple_kills", 1), ("penta_kills", 1)])
    }

    #[test]
    fn the_rating_is_the_published_one() {
        assert_eq!(Figure::Rating.of(&published()).unwrap().scaled(2), Some(179));
        assert_eq!(Figure::Rating.milli(&published()), Some(1794));
        // The average of that time is 1: 0.679 kills, 0.317 survived and 1.277 points a round.
        let average =
            Totals { rounds: 1000, ..totals(&[("kills", 679), ("deaths", 683), ("double_kills", 299)]) };
        assert_eq!(Figure::Rating.milli(&average), Some(1000));
    }

    #[test]
    fn every_figure_is_the_quotient_that_its_name_says() {
        let names: Vec<_> = (1..).zip(COUNTER_NAMES).map(|(n, name)| (name, n * n)).collect();
        let shown: Vec<_> = Figure::ALL
            .iter()
            .map(|figure| (figure.as_str(), figure.milli(&totals(&names)).unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                ("rating", 53_176),
                ("kd", 111),   // 1 / 9
                ("adr", 8450), // 169 / 20
                ("kr", 50),    // 1 / 20
                ("ar", 200),   // 4 / 20
                ("dr", 450),   // 9 / 20
                ("hs_percent", 10_000_000),
                ("pistol_percent", 12_100_000),
                ("sniper_percent", 14_400_000),
                ("entry_percent", 114_796), // 225 / 196
                ("entries_per_round", 9800),
                ("clutch_percent", 109_751),       // 484 / 441
                ("multi_kills_per_round", 11_500), // 36 + 49 + 64 + 81
                ("flash_percent", 112_891),        // 289 / 256
                ("enemies_per_flash", 1266),       // 324 / 256
                ("enemies_flashed_per_round", 16_200),
                ("utility_damage_per_round", 20_000),
                ("utility_damage_per_throw", 1108), // 400 / 361
                ("mvp_percent", 80_000),            // 16 / 20
                ("win_percent", 100_000),
            ]
        );
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let nothing = Totals::default();
        assert!(Figure::ALL.iter().all(|figure| figure.of(&nothing).is_none()));
        let immortal = totals(&[("kills", 5)]);
        assert_eq!(Figure::Kd.of(&immortal), None);
        assert_eq!(Figure::HsPercent.milli(&immortal), Some(0));
        let traitor = totals(&[("kills", -3), ("headshot_kills", 1), ("deaths", 4), ("double_kills", 1)]);
        assert_eq!(Figure::HsPercent.of(&traitor), None);
        assert_eq!(Figure::Kd.milli(&traitor), Some(-750));
        assert!(Figure::Rating.milli(&traitor).unwrap() > 0);
    }

    #[test]
    fn halves_go_up_and_what_is_too_big_is_no_figure() {
        let scaled =
            |numerator, denominator, places| Fraction::new(numerator, denominator).unwrap().scaled(places);
        assert_eq!(scaled(1, 2000, 3), Some(1));
        assert_eq!(scaled(-1, 2000, 3), Some(0));
        assert_eq!(scaled(2, 3, 3), Some(667));
        assert_eq!(scaled(-2, 3, 3), Some(-667));
        assert_eq!(scaled(i128::MAX, 1, 3), None);
        assert_eq!(scaled(i64::MAX.into(), 1, 1), None);
        let huge = Totals { matches: i64::MAX, rounds: 1, counters: [i64::MAX; 22], ..Totals::default() };
        assert!(Figure::ALL.iter().all(|figure| figure.of(&huge).is_some() || *figure == Figure::Rating));
    }
}
