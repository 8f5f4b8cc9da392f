//! The remembered ids: in memory, because an index of random keys would cost more than all the rest.
//!
//! Ids lie in buckets by the time at which their windows end, so that forgetting is dropping a bucket.
//! A bucket is an eighth to a sixteenth of a window wide: a lookup asks about a dozen tables, and an id
//! stays at most an eighth of its window longer than it must. The window itself is checked exactly.

use std::{collections::BTreeMap, hash::BuildHasher as _, time::Duration};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use crate::{
    clock::Timestamp,
    event::{BodyDigest, EventKey},
};

/// Bytes of one id in the table: key, time, window, short digest.
const ENTRY_BYTES: usize = 36;
/// Buckets narrower than about a second would only be many.
const SHIFT_MIN: u32 = 10;
const SHIFT_MAX: u32 = 40;

/// What is known of an id's first acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) received_at: Timestamp,
    pub(super) digest: [u8; 4],
}

/// 28 bytes, without padding: there may be millions.
#[derive(Clone, Copy)]
struct Remembered {
    key: [u8; 16],
    received_ms: [u8; 8],
    digest: [u8; 4],
}

/// The width of a bucket as a power of two in milliseconds, and its place in time.
type BucketKey = (u32, i64);

#[derive(Default)]
pub(super) struct Ids {
    hasher: DefaultHashBuilder,
    buckets: BTreeMap<BucketKey, HashTable<Remembered>>,
    /// Of the transaction under way, oldest first: in the buckets already, and out again with a rollback.
    fresh: Vec<Fresh>,
}

struct Fresh {
    key: EventKey,
    first: First,
    window: Duration,
    before: Before,
}

/// What the bucket had under a key that was put in.
enum Before {
    Nothing,
    Older(Remembered),
    /// It stayed.
    Newer,
}

impl Ids {
    /// The newest acceptance that is remembered of this key.
    pub(super) fn find(&self, key: EventKey) -> Option<First> {
        let hash = self.hasher.hash_one(key.0);
        self.buckets
            .values()
            .filter_map(|bucket| bucket.find(hash, |entry| entry.key == key.0))
            .map(Remembered::first)
            .max_by_key(|first| first.received_at)
    }

    pub(super) fn remember(
        &mut self,
        key: EventKey,
        received_at: Timestamp,
        window: Duration,
        digest: BodyDigest,
    ) {
        let digest = digest.short();
        let first = First {
            received_at,
            digest,
        };
        let before = self.insert(key, first, window);
        self.fresh.push(Fresh {
            key,
            first,
            window,
            before,
        });
    }

    /// The fresh ids as a row of the table: when the last of them may be forgotten, and all of them.
    pub(super) fn fresh_row(&self) -> Option<(Timestamp, Vec<u8>)> {
        let ends = self
            .fresh
            .iter()
            .map(|fresh| fresh.first.received_at.saturating_add(fresh.window))
            .max()?;
        let mut entries = Vec::with_capacity(self.fresh.len() * ENTRY_BYTES);
        for Fresh {
            key, first, window, ..
        } in &self.fresh
        {
            entries.extend_from_slice(&key.0);
            entries.extend_from_slice(&first.received_at.as_millis().to_le_bytes());
            let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
            entries.extend_from_slice(&window_ms.to_le_bytes());
            entries.extend_from_slice(&first.digest);
        }
        Some((ends, entries))
    }

    pub(super) fn commit(&mut self) {
        self.fresh.clear();
    }

    pub(super) fn rollback(&mut self) {
        while let Some(fresh) = self.fresh.pop() {
            self.take_back(&fresh);
        }
    }

    /// Takes in a row of the table, but for the ids whose windows have passed.
    pub(super) fn restore(&mut self, entries: &[u8], now: Timestamp) {
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let (key, rest) = entry.split_at(16);
            let (received_ms, rest) = rest.split_at(8);
            let (window_ms, digest) = rest.split_at(8);
            let first = First {
                received_at: Timestamp::from_millis(i64::from_le_bytes(array(received_ms))),
                digest: array(digest),
            };
            let window = Duration::from_millis(u64::from_le_bytes(array(window_ms)));
            if first.received_at.saturating_add(window) > now {
                self.insert(EventKey(array(key)), first, window);
            }
        }
    }

    /// Drops the buckets whose last window has ended; returns how many ids that were.
    pub(super) fn forget(&mut self, now: Timestamp) -> u64 {
        let mut forgotten = 0;
        self.buckets.retain(|&(shift, index), bucket| {
            let keep = index.saturating_add(1).saturating_mul(1 << shift) > now.as_millis();
            if !keep {
                forgotten += bucket.len() as u64;
            }
            keep
        });
        forgotten
    }

    fn insert(&mut self, key: EventKey, first: First, window: Duration) -> Before {
        let bucket = bucket_of(first, window);
        let bucket = self.buckets.entry(bucket).or_default();
        let entry = Remembered {
            key: key.0,
            received_ms: first.received_at.as_millis().to_le_bytes(),
            digest: first.digest,
        };
        let hasher = &self.hasher;
        match bucket.entry(
            hasher.hash_one(key.0),
            |other| other.key == key.0,
            |other| hasher.hash_one(other.key),
        ) {
            Entry::Occupied(mut there) if there.get().first().received_at < first.received_at => {
                Before::Older(std::mem::replace(there.get_mut(), entry))
            }
            Entry::Occupied(_) => Before::Newer,
            Entry::Vacant(place) => {
                place.insert(entry);
                Before::Nothing
            }
        }
    }

    fn take_back(&mut self, fresh: &Fresh) {
        let bucket = bucket_of(fresh.first, fresh.window);
        // It is gone when its time passed within the transaction.
        let Some(bucket) = self.buckets.get_mut(&bucket) else {
            return;
        };
        let hash = self.hasher.hash_one(fresh.key.0);
        let Ok(mut there) = bucket.find_entry(hash, |entry| entry.key == fresh.key.0) else {
            return;
        };
        match fresh.before {
            Before::Nothing => {
                there.remove();
            }
            Before::Older(older) => *there.get_mut() = older,
            Before::Newer => {}
        }
    }
}

fn bucket_of(first: First, window: Duration) -> BucketKey {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let shift = (window_ms / 8).max(1).ilog2().clamp(SHIFT_MIN, SHIFT_MAX);
    let ends_ms = first.received_at.saturating_add(window).as_millis();
    (shift, ends_ms >> shift)
}

impl Remembered {
    fn first(&self) -> First {
        First {
            received_at: Timestamp::from_millis(i64::from_le_bytes(self.received_ms)),
            digest: self.digest,
        }
    }
}

/// The first `N` bytes; what is missing is zero.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn remember(ids: &mut Ids, id: &str, received_at: Timestamp, window: Duration) -> EventKey {
        let key = EventKey::new("route", id);
        ids.remember(key, received_at, window, BodyDigest::of(id.as_bytes()));
        key
    }

    #[test]
    fn fresh_ids_are_seen_at_once_and_gone_after_a_rollback() {
        let mut ids = Ids::default();
        let kept = remember(&mut ids, "kept", at(0), HOUR);
        ids.commit();
        let dropped = remember(&mut ids, "dropped", at(1), HOUR);
        assert_eq!(ids.find(dropped).map(|f| f.received_at), Some(at(1)));
        ids.rollback();
        assert_eq!(ids.find(dropped), None);
        assert_eq!(ids.find(kept).map(|f| f.received_at), Some(at(0)));

        // Twice in one transaction, in the bucket of the one that is kept.
        remember(&mut ids, "kept", at(2), HOUR);
        remember(&mut ids, "kept", at(3), HOUR);
        assert_eq!(ids.find(kept).map(|f| f.received_at), Some(at(3)));
        ids.rollback();
        assert_eq!(ids.find(kept).map(|f| f.received_at), Some(at(0)));
        assert!(ids.fresh_row().is_none());
    }

    #[test]
    fn what_the_table_holds_comes_back_without_what_has_passed() {
        let mut ids = Ids::default();
        let keys: Vec<_> = (0..100)
            .map(|n| remember(&mut ids, &n.to_string(), at(n), HOUR))
            .collect();
        let (ends, row) = ids.fresh_row().unwrap();
        assert_eq!(ends, at(99).saturating_add(HOUR));

        let mut restored = Ids::default();
        restored.restore(&row, at(49).saturating_add(HOUR));
        for (n, key) in (0..).zip(&keys) {
            let expected = (n > 49).then(|| ids.find(*key).unwrap());
            assert_eq!(restored.find(*key), expected, "id {n}");
        }
    }

    #[test]
    fn forgetting_never_takes_an_id_within_its_window() {
        for window in [1, 999, 60_000, 3_600_000, 259_200_000_i64] {
            let mut ids = Ids::default();
            let length = Duration::from_millis(window.unsigned_abs());
            let key = remember(&mut ids, "a", at(0), length);
            ids.commit();
            assert_eq!(ids.forget(at(window - 1)), 0, "{window} ms: too early");
            assert!(ids.find(key).is_some());
            let late = at(window + window / 8 + 1024);
            assert_eq!(ids.forget(late), 1, "{window} ms: too late");
            assert!(ids.find(key).is_none());
        }
    }

    #[test]
    fn the_newest_acceptance_counts() {
        let mut ids = Ids::default();
        let key = remember(&mut ids, "a", at(0), 10 * HOUR);
        ids.commit();
        for (received, window) in [
            (5_000, 10 * HOUR),
            (4_000_000, HOUR / 60),
            (9_000_000, HOUR),
        ] {
            remember(&mut ids, "a", at(received), window);
            ids.commit();
            assert_eq!(ids.find(key).map(|f| f.received_at), Some(at(received)));
        }
    }
}
