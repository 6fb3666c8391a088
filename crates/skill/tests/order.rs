//! What a rating may not depend on.

use matchpurse_skill::{Rating, Side, rate};
use proptest::prelude::*;

fn rating() -> impl Strategy<Value = Rating> {
    (-50_000_000_i64..100_000_000, 1_i64..9_000_000)
        .prop_map(|(mean, uncertainty)| Rating { mean, uncertainty })
}

fn sides() -> impl Strategy<Value = Vec<Side>> {
    let side =
        (0_u16..4, prop::collection::vec(rating(), 1..7)).prop_map(|(rank, players)| Side { rank, players });
    prop::collection::vec(side, 2..9)
}

/// A list with the places that its elements had.
fn shuffled<T: Clone + std::fmt::Debug>(list: Vec<T>) -> impl Strategy<Value = Vec<(usize, T)>> {
    Just(list.into_iter().enumerate().collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    /// To the last bit: the sums are made in one order, whatever the order of the arguments.
    #[test]
    fn the_order_of_sides_and_players_is_nothing(
        (sides, order) in sides().prop_flat_map(|sides| (Just(sides.clone()), shuffled(sides))),
        turn in 0_usize..7,
    ) {
        let straight = rate(&sides).unwrap();
        let mut turned: Vec<(usize, Side)> = order;
        for (_, side) in &mut turned {
            let by = turn % side.players.len();
            side.players.rotate_left(by);
        }
        let given: Vec<Side> = turned.iter().map(|(_, side)| side.clone()).collect();
        let mut other = rate(&given).unwrap();
        for ((place, _), rated) in turned.iter().zip(&mut other) {
            let by = turn % rated.len();
            rated.rotate_right(by);
            prop_assert_eq!(&straight[*place], &*rated);
        }
    }

    #[test]
    fn a_match_can_be_rated_after_any_other(mut sides in sides(), ranks in prop::collection::vec(0_u16..4, 8)) {
        for rank in ranks {
            let rated = rate(&sides).unwrap();
            for (side, players) in sides.iter_mut().zip(rated) {
                prop_assert!(players.iter().all(|rating| rating.uncertainty > 0));
                side.players = players;
                side.rank = (side.rank + rank) % 4;
            }
        }
    }

    #[test]
    fn of_two_equal_sides_the_winners_rise_and_the_losers_fall(players in prop::collection::vec(rating(), 1..6)) {
        let side = |rank| Side { rank, players: players.clone() };
        let rated = rate(&[side(1), side(2)]).unwrap();
        for ((won, lost), before) in rated[0].iter().zip(&rated[1]).zip(&players) {
            prop_assert!(won.mean >= before.mean && lost.mean <= before.mean);
            prop_assert_eq!(won.uncertainty, lost.uncertainty);
        }
        let tied = rate(&[side(1), side(1)]).unwrap();
        for (tied, before) in tied[0].iter().zip(&players) {
            prop_assert_eq!(tied.mean, before.mean);
        }
    }
}
