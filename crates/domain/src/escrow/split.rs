use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::ids::PlayerId;

/// The fee on a pot: `fee_bps` hundredths of a percent, rounded down in the players' favour. None when it
/// does not fit.
pub fn fee_of(pot: i64, fee_bps: u16) -> Option<i64> {
    let fee = i128::from(pot).checked_mul(i128::from(fee_bps))?.checked_div(10_000)?;
    i64::try_from(fee).ok()
}

/// Divides an amount equally; what is left over goes, one minor unit each, to those with the smallest
/// SHA-256 of match and name. So it can be recomputed by anybody, and it is not always the same person.
///
/// The shares come in the order of `names`, and add up to the amount exactly. None when there is nobody.
pub fn shares<'n>(amount: i64, match_id: &str, names: &[&'n str]) -> Option<Vec<(&'n str, i64)>> {
    let count = i64::try_from(names.len()).ok().filter(|count| *count > 0)?;
    let base = amount.checked_div(count)?;
    let left_over = usize::try_from(amount.checked_rem(count)?).ok()?;
    let mut drawn: Vec<([u8; 32], &str)> = names.iter().map(|name| (draw(match_id, name), *name)).collect();
    drawn.sort_unstable();
    let lucky: BTreeSet<&str> = drawn.iter().take(left_over).map(|(_, name)| *name).collect();
    names
        .iter()
        .map(|name| {
            let extra = i64::from(lucky.contains(name));
            Some((*name, base.checked_add(extra)?))
        })
        .collect()
}

fn draw(match_id: &str, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(match_id).chain_update([0]).chain_update(name).finalize().into()
}

/// [`shares`] among players.
pub(super) fn player_shares(
    amount: i64,
    match_id: &str,
    players: &[PlayerId],
) -> Option<Vec<(PlayerId, i64)>> {
    let names: Vec<&str> = players.iter().map(PlayerId::as_str).collect();
    let shares = shares(amount, match_id, &names)?;
    Some(shares.into_iter().map(|(name, share)| (PlayerId::new(name), share)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fee_is_rounded_down() {
        assert_eq!(fee_of(1999, 500), Some(99));
        assert_eq!(fee_of(0, 10_000), Some(0));
        assert_eq!(fee_of(i64::MAX, 10_000), Some(i64::MAX));
    }

    proptest::proptest! {
        #[test]
        fn shares_add_up_and_differ_by_one_at_most(amount in 0_i64..10_000_000, count in 1_usize..40, id in "[a-z]{1,8}") {
            let names: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let parts = shares(amount, &id, &names).unwrap();
            proptest::prop_assert_eq!(parts.iter().map(|(_, share)| share).sum::<i64>(), amount);
            let (min, max) = (parts.iter().map(|p| p.1).min().unwrap(), parts.iter().map(|p| p.1).max().unwrap());
            proptest::prop_assert!(max - min <= 1);
        }
    }
}
