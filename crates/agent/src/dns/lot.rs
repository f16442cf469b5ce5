//! Puts things into a random order, so that clients that take the first one spread.

use crate::backoff;

/// Every order is as likely as any other, nearly.
pub(super) fn shuffle<T>(things: &mut [T]) {
    if things.len() < 2 {
        return;
    }
    let mut state = backoff::bits();
    for last in (1..things.len()).rev() {
        // One step of a linear congruential generator, of which the high bits are good.
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let bound = u64::try_from(last + 1).unwrap_or(u64::MAX);
        let other = usize::try_from((state >> 33) % bound).unwrap_or_default();
        things.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_orders_come_and_nothing_is_lost() {
        let orders: BTreeSet<_> = (0..300)
            .map(|_| {
                let mut things = [1, 2, 3];
                shuffle(&mut things);
                things
            })
            .collect();
        assert_eq!(orders.len(), 6);
        let mut many: Vec<_> = (0..5000).collect();
        shuffle(&mut many);
        assert!(!many.is_sorted());
        assert_eq!(many.into_iter().collect::<BTreeSet<_>>().len(), 5000);
    }
}
