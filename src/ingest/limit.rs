//! Bounds that are held while a request is served: a rate per route, and body bytes in flight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::config::Rate;

/// A token bucket, kept as the one moment at which it would be full again (GCRA).
#[derive(Debug)]
pub(super) struct RateLimiter {
    started: Instant,
    /// Nanoseconds after `started` at which the bucket is full.
    full_at: AtomicU64,
    /// Nanoseconds that one request costs.
    cost: u64,
    /// Nanoseconds of requests that may come at once.
    burst: u64,
}

impl RateLimiter {
    pub(super) fn new(rate: Rate, started: Instant) -> Self {
        let cost = nanos(rate.period) / u64::from(rate.limit.get());
        Self {
            started,
            full_at: AtomicU64::new(0),
            cost: cost.max(1),
            burst: cost.max(1).saturating_mul(u64::from(rate.burst.get())),
        }
    }

    /// Takes a token, or tells how long until there is one.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let now = nanos(now.saturating_duration_since(self.started));
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now) + self.cost;
            if next - now > self.burst {
                return Err(Duration::from_nanos(next - now - self.burst));
            }
            match self.full_at.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(current) => full_at = current,
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// Bytes that may be in flight at one time, over all requests.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(bytes),
        })
    }

    /// A share of nothing, to be [grown](Share::grow).
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Makes the share at least `bytes`; false when the budget does not have them.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken = self
            .budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(more)
            })
            .is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let start = Instant::now();
        let ten = NonZeroU32::new(10).unwrap();
        let limiter = RateLimiter::new(
            Rate {
                limit: ten,
                period: Duration::from_secs(1),
                burst: NonZeroU32::new(3).unwrap(),
            },
            start,
        );
        for _ in 0..3 {
            assert_eq!(limiter.take(start), Ok(()));
        }
        assert_eq!(limiter.take(start), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take(start + Duration::from_millis(100)), Ok(()));
        assert!(limiter.take(start + Duration::from_millis(150)).is_err());
        // A long rest earns no more than the burst.
        let later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| limiter.take(later).is_ok()).count(), 3);
    }

    #[test]
    fn a_share_goes_back_when_it_is_dropped() {
        let budget = Budget::new(10);
        let mut one = budget.share();
        assert!(one.grow(6));
        assert!(one.grow(4), "a share never shrinks");
        let mut two = budget.share();
        assert!(!two.grow(5));
        assert!(two.grow(4));
        drop(one);
        assert!(two.grow(10));
    }
}
