//! Who may send how much at once.

/// Shares out `free` slots among endpoints that could use so many each. Each gets one after the other, so that who
/// wants little has all of it; who begins moves on with `turn`, so that nobody is always last.
pub fn share(free: u32, wants: &[u32], turn: usize) -> Vec<u32> {
    let mut given = vec![0_u32; wants.len()];
    let mut left = free;
    while left > 0 {
        let before = left;
        for step in 0..wants.len() {
            let place = (turn.wrapping_add(step)) % wants.len();
            if let (Some(given), Some(want)) = (given.get_mut(place), wants.get(place))
                && *given < *want
                && left > 0
            {
                *given += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_shared_evenly_and_none_is_left_that_somebody_wants() {
        assert_eq!(share(64, &[8, 8, 8], 0), [8, 8, 8]);
        assert_eq!(share(10, &[8, 1, 8], 0), [5, 1, 4]);
        assert_eq!(share(10, &[8, 1, 8], 2), [4, 1, 5]);
        assert_eq!(share(2, &[8, 8, 8], 1), [0, 1, 1]);
        assert_eq!(share(0, &[8], 0), [0]);
        assert_eq!(share(5, &[], 3), [0; 0]);
        assert_eq!(share(5, &[0, 0], usize::MAX), [0, 0]);
    }
}
