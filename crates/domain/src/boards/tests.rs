use proptest::prelude::*;

use super::*;
use crate::stats::{Figure, Totals};
use crate::time::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// 2026-11-22T10:00:00Z, a Sunday.
const NOW: i64 = 1_795_341_600;

#[test]
fn a_moment_has_its_seasons() {
    let names = SeasonKind::ALL.map(|kind| kind.at(at(NOW)).name);
    assert_eq!(names, ["all", "2026", "2026-Q4", "2026-11", "2026-W47"]);
    // The last microsecond of a year, and the first of the next.
    let new_year = 1_798_761_600;
    let before = Timestamp::from_micros(new_year * 1_000_000 - 1);
    let seasons = |at| SeasonKind::ALL.map(|kind: SeasonKind| kind.at(at).name);
    assert_eq!(seasons(before), ["all", "2026", "2026-Q4", "2026-12", "2026-W53"]);
    assert_eq!(seasons(at(new_year)), ["all", "2027", "2027-Q1", "2027-01", "2026-W53"]);
    // Monday, 2027-01-04.
    assert_eq!(SeasonKind::Week.at(at(new_year + 3 * 86_400)).name, "2027-W01");
    // 2024-12-30 is in the first week of 2025; 2024-02-29 is a day.
    assert_eq!(SeasonKind::Week.at(at(1_735_516_800)).name, "2025-W01");
    let leap_day = SeasonKind::Month.at(at(1_709_164_800));
    assert_eq!((leap_day.name.as_str(), leap_day.until), ("2024-02", at(1_709_251_200)));
}

#[test]
fn a_season_ends_where_the_next_begins() {
    for kind in [SeasonKind::Year, SeasonKind::Quarter, SeasonKind::Month, SeasonKind::Week] {
        let mut season = kind.at(at(0));
        for _ in 0..3_000 {
            let next = kind.at(season.until);
            assert_eq!(next.since, season.until);
            assert!(
                next.name > season.name || next.name.starts_with("9999"),
                "{} {}",
                next.name,
                season.name
            );
            if next.name == season.name {
                break;
            }
            season = next;
        }
    }
}

#[test]
fn a_season_is_found_by_its_name_only() {
    for (kind, names) in [
        (SeasonKind::All, vec!["all"]),
        (SeasonKind::Year, vec!["2026", "1970", "9999"]),
        (SeasonKind::Quarter, vec!["2026-Q1", "2026-Q4"]),
        (SeasonKind::Month, vec!["2026-01", "2026-11", "2026-12"]),
        (SeasonKind::Week, vec!["2026-W01", "2026-W47", "2026-W53", "2025-W01"]),
    ] {
        for name in names {
            assert_eq!(kind.named(name).map(|season| season.name).as_deref(), Some(name));
        }
    }
    for bad in
        ["", "2026", "2026-", "2026-0", "2026-1", "2026-13", "2026-00", "2026-+1", "+026-11", "all", "ä26"]
    {
        assert_eq!(SeasonKind::Month.named(bad), None, "{bad}");
    }
    for bad in ["2025-W53", "2026-W00", "2026-W54", "2026-W7", "2026-w47"] {
        assert_eq!(SeasonKind::Week.named(bad), None, "{bad}");
    }
    assert_eq!(SeasonKind::Quarter.named("2026-Q5"), None);
    assert_eq!(SeasonKind::All.named("2026"), None);
}

proptest! {
    #[test]
    fn every_moment_is_in_its_season(micros in any::<i64>()) {
        let moment = Timestamp::from_micros(micros);
        for kind in SeasonKind::ALL {
            let season = kind.at(moment);
            let found = kind.named(&season.name);
            prop_assert_eq!(found.as_ref(), Some(&season));
            let in_years_of_names = (at(-62_135_596_800)..at(253_402_300_800)).contains(&moment);
            // The year 1 began on a Monday, so no week begins before it; 9999 ends amid one.
            prop_assert!(!in_years_of_names || (season.since..season.until).contains(&moment));
        }
    }
}

#[test]
fn words_are_read_back() {
    let metrics: Vec<Metric> = Metric::all().collect();
    assert_eq!(metrics.len(), 36);
    for metric in metrics {
        assert_eq!(Metric::parse(metric.as_str()), Some(metric));
    }
    assert_eq!(Metric::parse("unknown"), None);
    for direction in [Direction::Descending, Direction::Ascending] {
        assert_eq!(Direction::parse(direction.as_str()), Some(direction));
    }
    for kind in SeasonKind::ALL {
        assert_eq!(SeasonKind::parse(kind.as_str()), Some(kind));
    }
    for reason in Unlisted::ALL {
        assert_eq!(Unlisted::parse(reason.as_str()), Some(reason));
    }
}

#[test]
fn a_score_is_what_the_sums_come_to_in_the_places_of_its_metric() {
    let totals = Totals {
        matches: 4,
        wins: 3,
        rounds: 80,
        counters: std::array::from_fn(|place| i64::try_from(place).unwrap() + 7),
        ..Totals::default()
    };
    let score = |word: &str| Metric::parse(word).unwrap().of_totals(&totals);
    // Seven kills, eight assists, nine deaths.
    assert_eq!([score("kills"), score("assists"), score("clutch_wins")], [Some(7), Some(8), Some(28)]);
    assert_eq!([score("matches"), score("wins"), score("win_percent")], [Some(4), Some(3), Some(75_000)]);
    assert_eq!([score("kd"), score("kr"), score("adr")], [Some(778), Some(88), Some(238)]);
    assert_eq!(score("rating"), Figure::Rating.milli(&totals));
    assert_eq!(score("hs_percent"), Some(228_571));
    for metric in Metric::all() {
        let of_statistics = metric.basis() == Basis::Statistics;
        assert_eq!(metric.of_totals(&totals).is_some(), of_statistics, "{}", metric.as_str());
        assert_eq!(
            metric.places() == 3,
            metric.of_totals(&Totals::default()).is_none() && metric.basis() != Basis::Settlements
        );
    }
}
