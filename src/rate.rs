//! A token bucket, told the time.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::config::Rate;

/// Kept as the one moment at which the bucket would be full again (GCRA).
#[derive(Debug)]
pub(crate) struct RateLimiter {
    started: Instant,
    /// Nanoseconds after `started` at which the bucket is full.
    full_at: AtomicU64,
    /// Nanoseconds that one token costs.
    cost: u64,
    /// Nanoseconds of tokens that may be taken at once.
    burst: u64,
}

impl RateLimiter {
    pub(crate) fn new(rate: Rate, started: Instant) -> Self {
        let cost = nanos(rate.period) / u64::from(rate.limit.get());
        Self {
            started,
            full_at: AtomicU64::new(0),
            cost: cost.max(1),
            burst: cost.max(1).saturating_mul(u64::from(rate.burst.get())),
        }
    }

    /// Takes a token, or tells how long until there is one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        let now = self.nanos_at(now);
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

    /// At another rate, with what was taken from this one.
    pub(crate) fn changed_to(&self, rate: Rate, now: Instant) -> Self {
        let other = Self::new(rate, self.started);
        let empty = self.nanos_at(now).saturating_add(other.burst);
        let full_at = self.full_at.load(Ordering::Relaxed).min(empty);
        Self {
            full_at: AtomicU64::new(full_at),
            ..other
        }
    }

    /// The tokens that there ever are at one time.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.burst / self.cost).unwrap_or(usize::MAX)
    }

    /// The tokens there are.
    pub(crate) fn tokens(&self, now: Instant) -> usize {
        let missing = self.missing(now);
        usize::try_from(self.burst.saturating_sub(missing) / self.cost).unwrap_or(usize::MAX)
    }

    /// When there will be so many tokens; `None` when there never are.
    pub(crate) fn when(&self, tokens: usize, now: Instant) -> Option<Instant> {
        let wanted = u64::try_from(tokens).ok()?.checked_mul(self.cost)?;
        let may_miss = self.burst.checked_sub(wanted)?;
        now.checked_add(Duration::from_nanos(
            self.missing(now).saturating_sub(may_miss),
        ))
    }

    fn missing(&self, now: Instant) -> u64 {
        let full_at = self.full_at.load(Ordering::Relaxed);
        full_at.saturating_sub(self.nanos_at(now))
    }

    fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.started))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// Lets so many lines a second into a log, so that no flood fills a disk, and counts those that it leaves out.
#[derive(Debug)]
pub(crate) struct Lines {
    limiter: RateLimiter,
    left_out: AtomicU64,
}

impl Lines {
    /// `per_second` of them may come at once.
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let rate = Rate {
            limit: per_second,
            period: Duration::from_secs(1),
            burst: per_second,
        };
        Self {
            limiter: RateLimiter::new(rate, now),
            left_out: AtomicU64::new(0),
        }
    }

    /// `Some`: the line may be written, and tells how many were left out before it.
    pub(crate) fn take(&self, now: Instant) -> Option<u64> {
        match self.limiter.take(now) {
            Ok(()) => Some(self.left_out.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten a second, three at once.
    fn limiter(start: Instant) -> RateLimiter {
        let rate = Rate {
            limit: NonZeroU32::new(10).unwrap(),
            period: Duration::from_secs(1),
            burst: NonZeroU32::new(3).unwrap(),
        };
        RateLimiter::new(rate, start)
    }

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let start = Instant::now();
        let limiter = limiter(start);
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
    fn a_bucket_tells_what_it_will_give() {
        let start = Instant::now();
        let limiter = limiter(start);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((limiter.tokens(start), limiter.most()), (3, 3));
        assert_eq!(limiter.when(3, start), Some(start));
        assert_eq!(limiter.when(4, start), None);
        for left in [2, 1, 0] {
            limiter.take(start).unwrap();
            assert_eq!(limiter.tokens(start), left);
        }
        assert_eq!(limiter.when(1, start), Some(at(100)));
        assert_eq!(limiter.when(3, start), Some(at(300)));
        assert_eq!(limiter.tokens(at(99)), 0);
        assert_eq!(limiter.tokens(at(100)), 1);
        assert_eq!(limiter.tokens(at(60_000)), 3);
    }

    #[test]
    fn a_log_tells_how_many_lines_it_left_out() {
        let start = Instant::now();
        let lines = Lines::new(NonZeroU32::new(2).unwrap(), start);
        let taken: Vec<_> = (0..5).map(|_| lines.take(start)).collect();
        assert_eq!(taken, [Some(0), Some(0), None, None, None]);
        let later = start + Duration::from_secs(1);
        assert_eq!([lines.take(later), lines.take(later)], [Some(3), Some(0)]);
    }
}
