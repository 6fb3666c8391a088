//! Who beat whom.

use std::collections::BTreeMap;

use crate::event::{Outcome, Side};
use crate::stats::Winner;

/// Where a player stood at a match's end: on which side, and in which place that side was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// The side's number within the match.
    pub side: i16,
    /// The lowest won; equal ones tied.
    pub place: i16,
}

const FIRST: i16 = 1;
const SECOND: i16 = 2;

/// The standings of a match of two teams. None when nobody knows who won, or nobody was on one of the sides.
pub fn of_teams(winner: Option<Winner>, sides: &[Side]) -> Option<Vec<Standing>> {
    let winner = winner?;
    let standing = |side: &Side| match side {
        Side::Team1 => Some(Standing { side: 1, place: place(winner, Winner::Team1) }),
        Side::Team2 => Some(Standing { side: 2, place: place(winner, Winner::Team2) }),
        Side::Spectator => None,
    };
    let both = [Side::Team1, Side::Team2].iter().all(|side| sides.contains(side));
    sides.iter().map(standing).collect::<Option<Vec<_>>>().filter(|_| both)
}

fn place(winner: Winner, team: Winner) -> i16 {
    if winner == Winner::Draw || winner == team { FIRST } else { SECOND }
}

/// The standings of a settled match, of each seat its group and how it ended. In a free-for-all, and where no group is
/// named, everybody is a side.
///
/// None when it says nothing of who is better: one side only, nobody who won against somebody who lost, or a side of
/// which some won and some did not.
pub fn of_seats(free_for_all: bool, seats: &[(&str, Outcome)]) -> Option<Vec<Standing>> {
    let mut numbers: BTreeMap<&str, i16> = BTreeMap::new();
    let mut next: i16 = 0;
    let mut standings = Vec::with_capacity(seats.len());
    for (group, outcome) in seats {
        let alone = free_for_all || group.is_empty();
        let known = numbers.get(group).copied().filter(|_| !alone);
        let side = match known {
            Some(side) => side,
            None => {
                next = next.checked_add(1)?;
                if !alone {
                    numbers.insert(group, next);
                }
                next
            }
        };
        let place = if *outcome == Outcome::Loss { SECOND } else { FIRST };
        standings.push(Standing { side, place });
    }
    let has = |wanted: Outcome| seats.iter().any(|(_, outcome)| *outcome == wanted);
    let decided = has(Outcome::Win) && has(Outcome::Loss) && !has(Outcome::Tie);
    let tied = has(Outcome::Tie) && !has(Outcome::Win) && !has(Outcome::Loss);
    let mut places: BTreeMap<i16, i16> = BTreeMap::new();
    let agree = standings.iter().all(|s| *places.entry(s.side).or_insert(s.place) == s.place);
    (agree && (decided || tied) && places.len() > 1).then_some(standings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(standings: Option<Vec<Standing>>) -> Vec<(i16, i16)> {
        standings.into_iter().flatten().map(|s| (s.side, s.place)).collect()
    }

    #[test]
    fn teams_stand_as_the_scores_say() {
        let sides = [Side::Team2, Side::Team1, Side::Team1];
        assert_eq!(told(of_teams(Some(Winner::Team1), &sides)), [(2, 2), (1, 1), (1, 1)]);
        assert_eq!(told(of_teams(Some(Winner::Draw), &sides)), [(2, 1), (1, 1), (1, 1)]);
        assert_eq!(of_teams(None, &sides), None);
        assert_eq!(of_teams(Some(Winner::Team1), &sides[1..]), None);
    }

    #[test]
    fn seats_stand_as_they_ended() {
        let (win, loss, tie) = (Outcome::Win, Outcome::Loss, Outcome::Tie);
        let seats = |seats: &[(&str, Outcome)]| told(of_seats(false, seats));
        assert_eq!(seats(&[("b", loss), ("a", win), ("b", loss)]), [(1, 2), (2, 1), (1, 2)]);
        assert_eq!(seats(&[("a", tie), ("b", tie)]), [(1, 1), (2, 1)]);
        assert_eq!(seats(&[("", win), ("", loss), ("", loss)]), [(1, 1), (2, 2), (3, 2)]);
        assert_eq!(told(of_seats(true, &[("a", win), ("a", loss)])), [(1, 1), (2, 2)]);
        for nothing in [
            vec![("a", win), ("b", win)],
            vec![("a", loss), ("b", loss)],
            vec![("a", win), ("a", win)],
            vec![("a", win), ("a", loss), ("b", loss)],
            vec![("a", tie), ("b", win), ("c", loss)],
            vec![],
        ] {
            assert_eq!(of_seats(false, &nothing), None, "{nothing:?}");
        }
    }
}
