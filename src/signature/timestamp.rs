//! Whether a request is of now.

use super::{TimestampRule, Unit};
use crate::clock::Timestamp;

/// More than any moment's text.
const TEXT_BYTES_MAX: usize = 40;

impl TimestampRule {
    /// Whether `text` is a moment near enough to `now`.
    pub(super) fn admits(&self, text: &[u8], now: Timestamp) -> bool {
        let Some(at) = self.unit.parse(text) else {
            return false;
        };
        let now = match self.unit {
            Unit::Seconds => Timestamp::from_secs(now.as_secs()),
            Unit::Millis | Unit::Rfc3339 => now,
        };
        self.past.is_none_or(|past| now.since(at) <= past)
            && self.future.is_none_or(|future| at.since(now) <= future)
    }
}

impl Unit {
    /// Numbers are digits only: no sign, no space, no fraction.
    pub(super) fn parse(self, text: &[u8]) -> Option<Timestamp> {
        let text = std::str::from_utf8(text).ok()?;
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let number = || {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<i64>().ok())?
        };
        let millis = match self {
            Self::Seconds => number()?.checked_mul(1000)?,
            Self::Millis => number()?,
            Self::Rfc3339 => rfc3339(text)?.as_millisecond(),
        };
        Some(Timestamp::from_millis(millis))
    }

    /// As a provider writes `at`.
    pub(super) fn text(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_secs().to_string(),
            Self::Millis => at.as_millis().to_string(),
            Self::Rfc3339 => at.to_string(),
        }
    }
}

/// With `T` and an offset, and without the extensions that the library would take too.
fn rfc3339(text: &str) -> Option<jiff::Timestamp> {
    let plain = |byte: u8| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte);
    let shaped = text.as_bytes().get(10) == Some(&b'T') && text.bytes().all(plain);
    shaped.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_each_unit_and_nothing_else_is() {
        let at = |unit: Unit, text: &str| unit.parse(text.as_bytes()).map(Timestamp::as_millis);
        assert_eq!(at(Unit::Seconds, "1700000000"), Some(1_700_000_000_000));
        assert_eq!(at(Unit::Millis, "1700000000123"), Some(1_700_000_000_123));
        for text in [
            "2023-11-14T22:13:20.123456789Z",
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T15:13:20.123-07:00",
        ] {
            assert_eq!(at(Unit::Rfc3339, text), Some(1_700_000_000_123), "{text}");
        }
        for text in [
            "",
            "1700000000",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20Z",
            "2023-11-14t22:13:20z",
            "2023-11-14T22:13:20Z[UTC]",
            "2023-11-14T22:13:20+00:00[!u-ca=iso8601]",
            "2023-13-14T22:13:20Z",
            " 2023-11-14T22:13:20Z",
            "2023-11-14T22:13:20.00000000000000000000000000000000000Z",
        ] {
            assert_eq!(at(Unit::Rfc3339, text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let now = Timestamp::from_millis(1_700_000_000_999);
        for unit in [Unit::Seconds, Unit::Millis, Unit::Rfc3339] {
            let read = unit.parse(unit.text(now).as_bytes()).unwrap();
            assert_eq!(read.as_secs(), now.as_secs(), "{unit:?}");
        }
    }
}
