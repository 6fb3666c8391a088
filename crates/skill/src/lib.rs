//! How good a player is, from who beat whom: the Bayesian ratings of Weng and Lin, known as OpenSkill, for two or more
//! sides of any number of players, with ties.
//!
//! This is the one crate with floating-point numbers. They stay inside of one match: ratings come in and go out as
//! whole millionths, so nothing that is stored, compared or summed is a float, and what the last bit of an exponential
//! function is on another machine is rounded away after every match. Sides and players are put into an order of their
//! own values before anything is added, so the result does not depend on the order in which they are given.
//!
//! There is no clock: an uncertainty grows a little with every match that is played, not with the time between them, so
//! that a rating follows from the matches and their order alone.

use skillratings::MultiTeamOutcome;
use skillratings::weng_lin::{WengLinConfig, WengLinRating, weng_lin_multi_team};

/// Changes with anything that changes a result: ratings that were made by another version are made anew.
pub const VERSION: &str = "weng-lin 1";

/// The most sides of a match that is rated. The work grows with their square.
pub const SIDES_MAX: usize = 64;

/// The most players of a match that is rated, all sides together.
pub const PLAYERS_MAX: usize = 256;

/// A millionth is the unit of everything that leaves this crate.
const UNIT: f64 = 1_000_000.0;

/// What a match adds to an uncertainty before it is rated: a three-hundredth of where a rating begins, as OpenSkill has
/// it. Without it a rating would hardly move any more after some hundred matches.
const DRIFT: f64 = 25.0 / 300.0;

/// What is believed of a player, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rating {
    /// How good the player is believed to be.
    pub mean: i64,
    /// How uncertain that is: one standard deviation.
    pub uncertainty: i64,
}

/// One side of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Its place: the side with the lowest won, equal ones tied.
    pub rank: u16,
    /// Its players.
    pub players: Vec<Rating>,
}

impl Rating {
    /// Of somebody who has not played: 25, give or take 25/3.
    pub const NEW: Self = Self { mean: 25_000_000, uncertainty: 8_333_333 };

    /// What is shown and ranked by: the player is better than that with a probability of 99.7 %. It begins at about 0
    /// and rises with certainty too, so nobody leads by one lucky match.
    #[must_use]
    pub const fn skill(self) -> i64 {
        self.mean.saturating_sub(self.uncertainty.saturating_mul(3))
    }

    fn float(self, drift: f64) -> WengLinRating {
        let uncertainty = self.uncertainty as f64 / UNIT;
        WengLinRating {
            rating: self.mean as f64 / UNIT,
            uncertainty: (uncertainty * uncertainty + drift * drift).sqrt(),
        }
    }

    /// None when it is no number.
    fn rounded(rating: &WengLinRating) -> Option<Self> {
        let whole = |value: f64| value.is_finite().then(|| (value * UNIT).round() as i64);
        // Nobody is ever known for certain; and nothing is divided by zero in the next match.
        let uncertainty = whole(rating.uncertainty)?.max(1);
        Some(Self { mean: whole(rating.rating)?, uncertainty })
    }
}

/// The ratings of everybody after the match, side by side and player by player as they were given.
///
/// None when the match says nothing about anybody, or is beyond what can be rated: fewer than two sides or one without
/// players, more than [`SIDES_MAX`] sides or [`PLAYERS_MAX`] players.
#[must_use]
pub fn rate(sides: &[Side]) -> Option<Vec<Vec<Rating>>> {
    rate_with(sides, DRIFT)
}

fn rate_with(sides: &[Side], drift: f64) -> Option<Vec<Vec<Rating>>> {
    let players: usize = sides.iter().map(|side| side.players.len()).sum();
    let empty = sides.iter().any(|side| side.players.is_empty());
    if empty || !(2..=SIDES_MAX).contains(&sides.len()) || players > PLAYERS_MAX {
        return None;
    }
    let ordered = Ordered::of(sides);
    let floats: Vec<(Vec<WengLinRating>, MultiTeamOutcome)> = ordered
        .sides
        .iter()
        .map(|(_, rank, players)| {
            let ratings = players.iter().map(|(rating, _)| rating.float(drift)).collect();
            (ratings, MultiTeamOutcome::new(usize::from(*rank)))
        })
        .collect();
    let teams: Vec<(&[WengLinRating], MultiTeamOutcome)> =
        floats.iter().map(|(ratings, rank)| (ratings.as_slice(), *rank)).collect();
    ordered.given_back(&weng_lin_multi_team(&teams, &WengLinConfig::new()), sides)
}

/// A match in an order that follows from its values alone. Who is equal to somebody in everything may stand in the
/// other's place: the results are equal too.
struct Ordered {
    sides: Vec<OrderedSide>,
}

/// A side: where it stood, its rank, and its players with where they stood.
type OrderedSide = (usize, u16, Vec<(Rating, usize)>);

impl Ordered {
    fn of(sides: &[Side]) -> Self {
        let players = |side: &Side| {
            let mut players: Vec<_> = side.players.iter().copied().zip(0..).collect();
            players.sort_unstable();
            players
        };
        let mut ordered: Vec<_> =
            sides.iter().zip(0..).map(|(side, place)| (place, side.rank, players(side))).collect();
        let values = |players: &[(Rating, usize)]| players.iter().map(|(r, _)| *r).collect::<Vec<_>>();
        ordered.sort_by_cached_key(|(_, rank, players)| (*rank, values(players)));
        Self { sides: ordered }
    }

    fn given_back(&self, rated: &[Vec<WengLinRating>], sides: &[Side]) -> Option<Vec<Vec<Rating>>> {
        let mut back: Vec<Vec<Rating>> = sides.iter().map(|side| side.players.clone()).collect();
        for ((side, _, players), rated) in self.sides.iter().zip(rated) {
            for ((_, place), rating) in players.iter().zip(rated) {
                *back.get_mut(*side)?.get_mut(*place)? = Rating::rounded(rating)?;
            }
        }
        Some(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(rank: u16, players: &[Rating]) -> Side {
        Side { rank, players: players.to_vec() }
    }

    /// The figures that OpenSkill's own tests have for its Bradley-Terry model, which knows no drift.
    #[test]
    fn ratings_are_those_of_openskill() {
        let rated = |sides: &[Side]| rate_with(sides, 0.0).unwrap();
        let one = rated(&[side(1, &[Rating::NEW]), side(2, &[Rating::NEW])]);
        assert_eq!(one[0][0], Rating { mean: 27_635_231, uncertainty: 8_065_506 });
        assert_eq!(one[1][0], Rating { mean: 22_364_769, uncertainty: 8_065_506 });
        let tie = rated(&[side(1, &[Rating::NEW]), side(1, &[Rating::NEW])]);
        assert_eq!(tie[0][0].mean, Rating::NEW.mean);
    }

    #[test]
    fn who_wins_rises_and_who_loses_falls_by_what_was_expected() {
        let strong = Rating { mean: 35_000_000, uncertainty: 2_000_000 };
        let weak = Rating { mean: 15_000_000, uncertainty: 2_000_000 };
        let expected = rate(&[side(1, &[strong]), side(2, &[weak])]).unwrap();
        let upset = rate(&[side(2, &[strong]), side(1, &[weak])]).unwrap();
        assert!(expected[0][0].mean > strong.mean && upset[0][0].mean < strong.mean);
        assert!(upset[1][0].mean - weak.mean > expected[0][0].mean - strong.mean);
        assert_eq!(Rating::NEW.skill(), 1, "about zero");
    }

    #[test]
    fn what_says_nothing_is_not_rated() {
        let two = [side(1, &[Rating::NEW]), side(2, &[Rating::NEW])];
        assert!(rate(&two).is_some());
        assert_eq!(rate(&two[..1]), None);
        assert_eq!(rate(&[side(1, &[Rating::NEW]), side(2, &[])]), None);
        assert_eq!(rate(&vec![side(1, &[Rating::NEW]); SIDES_MAX + 1]), None);
        assert_eq!(rate(&[side(1, &[Rating::NEW; PLAYERS_MAX]), side(2, &[Rating::NEW])]), None);
        // A float that is none would be stored for ever.
        let huge = Rating { mean: i64::MAX, uncertainty: 1 };
        assert_eq!(rate(&[side(1, &[huge]), side(2, &[huge])]), None);
    }
}
