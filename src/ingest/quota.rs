//! How many requests leave a record: bounded in all, and divided so that a flood of one route, or of what belongs to
//! none, hides no other.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::{Rate, Route},
    event::RouteName,
    rate::RateLimiter,
};

/// Refusals and, apart from them, duplicates and handshakes that are recorded in a second: half of them of whoever comes
/// first, half divided evenly among the routes and what belongs to none.
const HALF_PER_SECOND: NonZeroU32 = NonZeroU32::new(25).unwrap();
/// The same at once.
const HALF_AT_ONCE: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// However many routes there are, each has so many at once: a provider that tries again is seen.
const EACH_AT_ONCE: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Of one configuration.
pub(super) struct Quotas {
    refused: Quota,
    /// Of duplicates and handshakes, which are no part of a flood of forgeries.
    others: Quota,
}

struct Quota {
    common: Arc<RateLimiter>,
    routes: HashMap<RouteName, RateLimiter>,
    no_route: RateLimiter,
}

impl Quotas {
    pub(super) fn new(routes: &[Arc<Route>], now: Instant) -> Self {
        let names = || routes.iter().map(|route| &route.name);
        Self {
            refused: Quota::new(names(), now),
            others: Quota::new(names(), now),
        }
    }

    /// The next: what routes have used up of these counts there, too.
    pub(super) fn follow(&self, routes: &[Arc<Route>], now: Instant) -> Self {
        let names = || routes.iter().map(|route| &route.name);
        Self {
            refused: self.refused.follow(names(), now),
            others: self.others.follow(names(), now),
        }
    }

    /// Whether there is room for one more. The cost is the same for every reason of a refusal.
    pub(super) fn take(&self, route: Option<&RouteName>, is_refused: bool, now: Instant) -> bool {
        match is_refused {
            true => self.refused.take(route, now),
            false => self.others.take(route, now),
        }
    }
}

impl Quota {
    fn new<'n>(routes: impl ExactSizeIterator<Item = &'n RouteName>, now: Instant) -> Self {
        let rate = share(routes.len());
        let limiter = |name: &RouteName| (name.clone(), RateLimiter::new(rate, now));
        Self {
            common: Arc::new(RateLimiter::new(in_common(), now)),
            routes: routes.map(limiter).collect(),
            no_route: RateLimiter::new(rate, now),
        }
    }

    fn follow<'n>(
        &self,
        routes: impl ExactSizeIterator<Item = &'n RouteName>,
        now: Instant,
    ) -> Self {
        let rate = share(routes.len());
        let limiter = |name: &RouteName| {
            let before = self.routes.get(name);
            let limiter = match before {
                Some(before) => before.changed_to(rate, now),
                None => RateLimiter::new(rate, now),
            };
            (name.clone(), limiter)
        };
        Self {
            common: self.common.clone(),
            routes: routes.map(limiter).collect(),
            no_route: self.no_route.changed_to(rate, now),
        }
    }

    /// From what is common first: what is a route's own is left for when others have used that up.
    fn take(&self, route: Option<&RouteName>, now: Instant) -> bool {
        let own = route.and_then(|name| self.routes.get(name));
        let own = own.unwrap_or(&self.no_route);
        self.common.take(now).is_ok() || own.take(now).is_ok()
    }
}

fn in_common() -> Rate {
    Rate {
        limit: HALF_PER_SECOND,
        period: Duration::from_secs(1),
        burst: HALF_AT_ONCE,
    }
}

/// Of each of so many routes, and of what belongs to none.
fn share(routes: usize) -> Rate {
    let shares = u32::try_from(routes).unwrap_or(u32::MAX).saturating_add(1);
    let at_once = NonZeroU32::new(HALF_AT_ONCE.get() / shares);
    Rate {
        limit: HALF_PER_SECOND,
        period: Duration::from_secs(shares.into()),
        burst: at_once.map_or(EACH_AT_ONCE, |at_once| at_once.max(EACH_AT_ONCE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<RouteName> {
        (0..count)
            .map(|number| format!("route-{number}").into())
            .collect()
    }

    fn taken(quota: &Quota, route: Option<&RouteName>, now: Instant) -> usize {
        (0..10_000).take_while(|_| quota.take(route, now)).count()
    }

    /// As many as there are routes, whoever floods, and whatever the shares round to.
    #[test]
    fn in_all_they_are_bounded_however_many_routes_are_flooded() {
        let start = Instant::now();
        for count in [0, 1, 2, 16, 1_000] {
            let names = names(count);
            let quota = Quota::new(names.iter(), start);
            let all = || names.iter().map(Some).chain([None]);
            let flood = |now| -> usize { all().map(|route| taken(&quota, route, now)).sum() };
            let at_once = flood(start);
            assert!(
                at_once <= 50 + 50.max(3 * (count + 1)),
                "{count}: {at_once}"
            );
            let later = (1..=60).map(|second| flood(start + Duration::from_secs(second)));
            let later: usize = later.sum();
            // What was begun of a token before is ended in this time.
            let begun = count + 2;
            assert!(later <= 60 * 50 + begun, "{count}: {later}");
            assert!(later >= 60 * 25, "{count}: {later}");
        }
    }

    #[test]
    fn a_flood_of_all_others_leaves_each_its_share() {
        let start = Instant::now();
        for count in [1, 2, 16, 1_000] {
            let names = names(count);
            let quota = Quota::new(names.iter(), start);
            let (quiet, loud) = names.split_first().unwrap();
            for route in loud.iter().map(Some).chain([None]) {
                taken(&quota, route, start);
            }
            assert!(taken(&quota, Some(quiet), start) >= 3, "{count}");
            // And again, when its own tokens have come back.
            let later = start + Duration::from_secs(200);
            for route in loud.iter().map(Some).chain([None]) {
                taken(&quota, route, later);
            }
            assert!(taken(&quota, Some(quiet), later) >= 3, "{count}");
        }
    }

    #[test]
    fn refusals_take_nothing_from_the_others() {
        let start = Instant::now();
        let quotas = Quotas::new(&[], start);
        while quotas.take(None, true, start) {}
        assert!(quotas.take(None, false, start));
    }

    #[test]
    fn another_configuration_gives_nobody_a_new_share_who_had_one() {
        let start = Instant::now();
        let (few, many) = (names(2), names(40));
        let quota = Quota::new(few.iter(), start);
        let flooded = [Some(&few[0]), None];
        for route in flooded {
            taken(&quota, route, start);
        }
        let same = quota.follow(few.iter(), start);
        for route in flooded {
            assert_eq!(taken(&same, route, start), 0);
        }
        assert_eq!(taken(&same, Some(&few[1]), start), 16);
        // The share is another one, of which as much time is used up.
        let more = quota.follow(many.iter(), start);
        assert!(taken(&more, Some(&few[0]), start) <= 3);
        assert_eq!(taken(&more, Some(&many[39]), start), 3);
        // What was long for many is not for few.
        let fewer = more.follow(few.iter(), start);
        assert_eq!(taken(&fewer, Some(&few[0]), start), 0);
        let rested = start + Duration::from_secs(2);
        while fewer.common.take(rested).is_ok() {}
        assert_eq!(taken(&fewer, Some(&few[0]), rested), 16);
    }
}
