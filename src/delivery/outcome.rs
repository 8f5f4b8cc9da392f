//! What a target's reply means for its delivery. Pure: the time and the randomness come from outside.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    config::{Jitter, Retry, RetryOn, Wait},
    event::{DeadReason, Outcome},
};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status {
        code: u16,
        /// The wait that `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// No whole response, and why.
    Network(String),
}

/// `attempts_before` counts the attempts before this one, `since` is the acceptance or the last replay, and `random`
/// is in `0.0..1.0`.
pub(super) fn decide(
    reply: &Reply,
    retry: &Retry,
    retry_on: &RetryOn,
    attempts_before: u32,
    since: Timestamp,
    now: Timestamp,
    random: f64,
) -> Outcome {
    let retry_after = match reply {
        Reply::Status { code, .. } if (200..300).contains(code) => return Outcome::Delivered,
        reply if !is_retried(reply, retry_on) => return Outcome::Dead(DeadReason::Refused),
        Reply::Status { retry_after, .. } => *retry_after,
        Reply::Network(_) => None,
    };
    let Some(backoff) = backoff(&retry.wait, attempts_before, random) else {
        return Outcome::Dead(DeadReason::GaveUp);
    };
    let wait = retry_after.map_or(backoff, |asked| obeyed(asked, &retry.wait));
    let age = now.since(since).saturating_add(wait);
    match retry.give_up_after {
        Some(limit) if age > limit => Outcome::Dead(DeadReason::GaveUp),
        _ => Outcome::Retry(wait),
    }
}

/// Whether a reply is a failure of the target, and not its answer to this one event: no whole response, a status that
/// says "not now", and whatever is tried again.
pub(super) fn speaks_of_target(reply: &Reply, retry_on: &RetryOn) -> bool {
    match reply {
        Reply::Network(_) => true,
        Reply::Status { code, .. } => match code {
            200..300 => false,
            408 | 425 | 429 | 500..600 => true,
            _ => is_retried(reply, retry_on),
        },
    }
}

/// The wait in a `Retry-After` value: seconds, or a date. `None` for garbage.
pub(super) fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit still mean "very long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let since_epoch = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp::from_millis(0).saturating_add(since_epoch);
    Some(at.since(now))
}

fn is_retried(reply: &Reply, retry_on: &RetryOn) -> bool {
    match (reply, retry_on) {
        (Reply::Network(_), RetryOn::Default) => true,
        (Reply::Network(_), RetryOn::Listed { network, .. }) => *network,
        (Reply::Status { code, .. }, RetryOn::Default) => !matches!(code, 400 | 410 | 413 | 422),
        (Reply::Status { code, .. }, RetryOn::Listed { statuses, .. }) => statuses
            .iter()
            .any(|(first, last)| (first..=last).contains(&code)),
    }
}

/// The policy's own wait after `attempts_before + 1` failures; `None` when the schedule has ended.
fn backoff(wait: &Wait, attempts_before: u32, random: f64) -> Option<Duration> {
    match wait {
        Wait::Exponential {
            first,
            factor,
            max,
            jitter,
        } => {
            let grown = grown(*first, *factor, attempts_before, *max);
            Some(jittered(grown, *jitter, random).min(*max))
        }
        Wait::Schedule { delays, jitter } => {
            let delay = delays.get(usize::try_from(attempts_before).ok()?)?;
            Some(jittered(*delay, *jitter, random))
        }
    }
}

/// `first × factor^n`, at most `max`. Compared as floats, so that an infinite product is the maximum too.
fn grown(first: Duration, factor: f64, n: u32, max: Duration) -> Duration {
    let seconds = first.as_secs_f64() * factor.powf(f64::from(n));
    if first.is_zero() || seconds < max.as_secs_f64() {
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    } else {
        max
    }
}

fn jittered(wait: Duration, jitter: Jitter, random: f64) -> Duration {
    let share = match jitter {
        Jitter::Full => random,
        Jitter::Ratio(ratio) => 1.0 + ratio * (2.0 * random - 1.0),
    };
    Duration::try_from_secs_f64(wait.as_secs_f64() * share).unwrap_or(wait)
}

/// What the target asks for, but no shorter than the policy's first wait and no longer than its longest:
/// a target cannot make the gateway hammer it, nor hold an event back for ever.
fn obeyed(asked: Duration, wait: &Wait) -> Duration {
    let first = match wait {
        Wait::Exponential { first, .. } => *first,
        Wait::Schedule { delays, .. } => delays.first().copied().unwrap_or_default(),
    };
    asked.max(first).min(wait.max())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn exponential() -> Retry {
        Retry {
            wait: Wait::Exponential {
                first: Duration::from_secs(1),
                factor: 2.0,
                max: Duration::from_secs(60),
                jitter: Jitter::Full,
            },
            give_up_after: Some(Duration::from_secs(3600)),
        }
    }

    fn schedule(jitter: Jitter) -> Retry {
        Retry {
            wait: Wait::Schedule {
                delays: [5, 30, 300].map(Duration::from_secs).into(),
                jitter,
            },
            give_up_after: None,
        }
    }

    fn status(code: u16) -> Reply {
        Reply::Status {
            code,
            retry_after: None,
        }
    }

    fn asking(seconds: u64) -> Reply {
        Reply::Status {
            code: 429,
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    fn network() -> Reply {
        Reply::Network("connect: refused".into())
    }

    fn now(reply: &Reply, retry: &Retry, retry_on: &RetryOn) -> Outcome {
        decide(reply, retry, retry_on, 0, RECEIVED, RECEIVED, 1.0)
    }

    fn secs(seconds: u64) -> Outcome {
        Outcome::Retry(Duration::from_secs(seconds))
    }

    #[test]
    fn every_status_is_classified() {
        for code in 100..1000 {
            let expected = match code {
                200..300 => Outcome::Delivered,
                400 | 410 | 413 | 422 => Outcome::Dead(DeadReason::Refused),
                _ => secs(1),
            };
            let outcome = now(&status(code), &exponential(), &RetryOn::Default);
            assert_eq!(outcome, expected, "{code}");
        }
        assert_eq!(now(&network(), &exponential(), &RetryOn::Default), secs(1));
    }

    #[test]
    fn a_list_replaces_the_default() {
        let listed = |network| RetryOn::Listed {
            statuses: vec![(410, 410), (500, 599)],
            network,
        };
        let refused = Outcome::Dead(DeadReason::Refused);
        for (reply, network, expected) in [
            (status(204), true, Outcome::Delivered),
            (status(410), true, secs(1)),
            (status(500), true, secs(1)),
            (status(599), true, secs(1)),
            (status(499), true, refused.clone()),
            (status(429), true, refused.clone()),
            (status(301), true, refused.clone()),
            (network(), true, secs(1)),
            (network(), false, refused),
        ] {
            let outcome = now(&reply, &exponential(), &listed(network));
            assert_eq!(outcome, expected, "{reply:?}");
        }
    }

    #[test]
    fn a_refused_event_says_nothing_about_the_target() {
        let only_410 = RetryOn::Listed {
            statuses: vec![(410, 410)],
            network: false,
        };
        for (reply, by_default, listed) in [
            (status(200), false, false),
            (status(204), false, false),
            (status(400), false, false),
            (status(410), false, true),
            (status(413), false, false),
            (status(422), false, false),
            (status(404), true, false),
            (status(301), true, false),
            (status(408), true, true),
            (status(425), true, true),
            (status(429), true, true),
            (status(500), true, true),
            (status(599), true, true),
            (network(), true, true),
        ] {
            let found = speaks_of_target(&reply, &RetryOn::Default);
            assert_eq!(found, by_default, "{reply:?}");
            assert_eq!(speaks_of_target(&reply, &only_410), listed, "{reply:?}");
        }
    }

    #[test]
    fn waits_grow_to_the_maximum_and_never_overflow() {
        let mut retry = exponential();
        retry.give_up_after = None;
        for (attempts, random, millis) in [
            (0, 1.0, 1000),
            (0, 0.5, 500),
            (0, 0.0, 0),
            (1, 1.0, 2000),
            (3, 0.5, 4000),
            (5, 1.0, 32_000),
            (6, 1.0, 60_000),
            (6, 0.25, 15_000),
            (5000, 1.0, 60_000),
            (u32::MAX, 0.5, 30_000),
        ] {
            let outcome = decide(
                &status(500),
                &retry,
                &RetryOn::Default,
                attempts,
                RECEIVED,
                RECEIVED,
                random,
            );
            let expected = Outcome::Retry(Duration::from_millis(millis));
            assert_eq!(outcome, expected, "after {attempts}, random {random}");
        }
    }

    #[test]
    fn odd_numbers_make_a_wait_within_the_policy() {
        for factor in [0.0, 1.0, f64::MAX, f64::INFINITY, f64::NAN, -2.0] {
            for first in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
                for n in [0, 1, 2, 100, u32::MAX] {
                    let max = Duration::from_secs(60);
                    assert!(
                        grown(first, factor, n, max) <= max,
                        "{first:?} {factor} {n}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_schedule_is_followed_to_its_end() {
        for (attempts, random, expected) in [
            (0, 0.5, secs(5)),
            (1, 0.5, secs(30)),
            (1, 0.0, secs(24)),
            (1, 1.0, secs(36)),
            (2, 0.5, secs(300)),
            (3, 0.5, Outcome::Dead(DeadReason::GaveUp)),
            (u32::MAX, 0.5, Outcome::Dead(DeadReason::GaveUp)),
        ] {
            let outcome = decide(
                &network(),
                &schedule(Jitter::Ratio(0.2)),
                &RetryOn::Default,
                attempts,
                RECEIVED,
                RECEIVED,
                random,
            );
            assert_eq!(outcome, expected, "after {attempts}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_within_the_policy() {
        for (retry, asked, expected) in [
            (exponential(), 0, 1),
            (exponential(), 7, 7),
            (exponential(), 60, 60),
            (exponential(), 61, 60),
            (exponential(), u64::MAX, 60),
            (schedule(Jitter::Full), 0, 5),
            (schedule(Jitter::Full), 100, 100),
            (schedule(Jitter::Full), 1000, 300),
        ] {
            let outcome = now(&asking(asked), &retry, &RetryOn::Default);
            assert_eq!(outcome, secs(expected), "asked for {asked} s");
        }
    }

    #[test]
    fn gives_up_when_the_next_attempt_would_be_too_late() {
        for (age, expected) in [
            (0, secs(1)),
            (3599, secs(1)),
            (3600, Outcome::Dead(DeadReason::GaveUp)),
            (100_000, Outcome::Dead(DeadReason::GaveUp)),
        ] {
            let at = RECEIVED.saturating_add(Duration::from_secs(age));
            let outcome = decide(
                &status(500),
                &exponential(),
                &RetryOn::Default,
                0,
                RECEIVED,
                at,
                1.0,
            );
            assert_eq!(outcome, expected, "after {age} s");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("99999999999999999999999999", Some(u64::MAX)),
            ("Tue, 14 Nov 2023 22:13:30 GMT", Some(10)),
            ("Tue, 14 Nov 2023 22:13:10 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("Tue, 99 Nov 2023", None),
        ] {
            let wait = parse_retry_after(value, RECEIVED);
            assert_eq!(wait, expected.map(Duration::from_secs), "{value:?}");
        }
    }
}
