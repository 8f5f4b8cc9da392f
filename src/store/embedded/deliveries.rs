//! The numbers of deliveries. They alone tell which event a delivery belongs to and how many others it
//! has, so that expiry needs no look at the events.

/// A delivery's row: `seq` of its event × 2²⁰ + (deliveries of the event − 1) × 2¹⁰ + its place among them.
pub(super) type DeliveryId = i64;

/// Deliveries of one event.
pub(super) const DELIVERIES_MAX: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 10;
const SEQ_SHIFT: u32 = 2 * PLACE_BITS;
const PLACE_MASK: i64 = (1 << PLACE_BITS) - 1;

/// The ids of this many deliveries, at least one, of an event.
pub(super) fn ids(seq: i64, deliveries: usize) -> impl Iterator<Item = DeliveryId> {
    let others = i64::try_from(deliveries.saturating_sub(1)).unwrap_or(PLACE_MASK);
    let first = (seq << SEQ_SHIFT) | (others.min(PLACE_MASK) << PLACE_BITS);
    first..=first + others
}

pub(super) fn seq_of(id: DeliveryId) -> i64 {
    id >> SEQ_SHIFT
}

/// Its place among its event's deliveries, from 0.
pub(super) fn place_of(id: DeliveryId) -> i64 {
    id & PLACE_MASK
}

/// How many deliveries its event has.
pub(super) fn number_of(id: DeliveryId) -> i64 {
    ((id >> PLACE_BITS) & PLACE_MASK) + 1
}

/// The first and the last id that deliveries of these events can have.
pub(super) fn range(first_seq: i64, last_seq: i64) -> (DeliveryId, DeliveryId) {
    (
        first_seq << SEQ_SHIFT,
        (last_seq << SEQ_SHIFT) | ((1 << SEQ_SHIFT) - 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_event_its_place_and_the_number_of_all() {
        for (seq, deliveries) in [(1, 1), (7, 3), (1 << 42, DELIVERIES_MAX)] {
            let (first, last) = range(seq, seq);
            let mut place = 0;
            for id in ids(seq, deliveries) {
                assert_eq!((seq_of(id), place_of(id)), (seq, place));
                assert_eq!(number_of(id), i64::try_from(deliveries).unwrap());
                assert!((first..=last).contains(&id));
                place += 1;
            }
            assert_eq!(place, number_of(first_of(seq, deliveries)));
        }
        assert!(range(1, 2).1 < range(3, 3).0);
    }

    fn first_of(seq: i64, deliveries: usize) -> DeliveryId {
        ids(seq, deliveries).next().unwrap()
    }
}
