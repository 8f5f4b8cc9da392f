//! Values of one word: durations, sizes, numbers, addresses, names.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use ipnet::IpNet;
use toml::de::DeValue;

use super::reader::{Node, Table};
use crate::clock::Timestamp;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

impl Node<'_> {
    /// From 1 ms to `max`.
    pub(super) fn duration(&self, max: Duration) -> Option<Duration> {
        const SHAPE: &str = "a duration such as \"10s\"";
        let duration = self.parse(SHAPE, |text| humantime::parse_duration(text).ok())?;
        if !(MILLISECOND..=max).contains(&duration) {
            self.reject(format!("a duration from 1ms to {}", shown(max)));
            return None;
        }
        Some(duration)
    }

    /// Bytes: an integer, or a string with a unit.
    pub(super) fn size(&self) -> Option<u64> {
        let size = match &self.value {
            DeValue::String(text) => text.parse::<bytesize::ByteSize>().ok().map(|size| size.0),
            _ => self.whole_number(),
        };
        if size.is_none_or(|size| size == 0) {
            self.reject("a size such as \"1MiB\"");
        }
        size
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.whole_number().filter(|number| range.contains(number));
        if number.is_none() {
            self.reject(format!(
                "a number from {} to {}",
                range.start(),
                range.end()
            ));
        }
        number
    }

    fn whole_number(&self) -> Option<u64> {
        let number = self.value.as_integer()?;
        u64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// An integer or a fraction.
    pub(super) fn number(&self) -> Option<f64> {
        match &self.value {
            DeValue::Integer(_) => self.whole_number().map(|number| number as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let truth = self.value.as_bool();
        if truth.is_none() {
            self.reject("true or false");
        }
        truth
    }

    pub(super) fn socket(&self) -> Option<SocketAddr> {
        self.parse("an address and a port such as \"127.0.0.1:8443\"", |text| {
            text.parse().ok()
        })
    }

    /// A network, or one address; a network whose host bits are set is refused, because one of its
    /// two parts is then not what was meant.
    pub(super) fn network(&self) -> Option<IpNet> {
        const SHAPE: &str = "a network such as \"203.0.113.0/24\"";
        let network = self.parse(SHAPE, |text| {
            let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
            text.parse::<IpNet>().ok().or_else(address)
        })?;
        if network != network.trunc() {
            self.reject(format!("\"{}\"", network.trunc()));
        }
        Some(network)
    }

    pub(super) fn networks(self) -> Vec<IpNet> {
        let networks = self.list("a list of networks such as [\"203.0.113.0/24\"]");
        let networks = networks.unwrap_or_default();
        networks.iter().filter_map(Self::network).collect()
    }

    /// The name of a header, in lower case.
    pub(super) fn header_name(&self) -> Option<String> {
        self.parse("the name of a header", |text| {
            let name = http::HeaderName::try_from(text).ok()?;
            Some(name.as_str().to_owned())
        })
    }

    /// A TOML date-time with its offset, or a string of RFC 3339.
    pub(super) fn moment(&self) -> Option<Timestamp> {
        let text = match &self.value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(at) => at.to_string(),
            _ => String::new(),
        };
        let at = text.parse::<jiff::Timestamp>().ok();
        if at.is_none() {
            self.reject("a moment with its offset such as 2026-12-31T00:00:00Z");
        }
        at.map(|at| Timestamp::from_millis(at.as_millisecond()))
    }

    /// `http` or `https`, with a host and without credentials. What stands here is not repeated in
    /// faults: the paths and queries of webhook addresses are often secret.
    pub(super) fn http_url(&self) -> Option<url::Url> {
        let text = self.string("a URL such as \"https://crm.example.com/in\"")?;
        let problem = match url::Url::parse(text) {
            Err(problem) => Some(format!("a URL that cannot be read ({problem})")),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                Some("a URL of another scheme".to_owned())
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("a URL with credentials".to_owned())
            }
            Ok(url) if url.fragment().is_some() => Some("a URL with a fragment".to_owned()),
            Ok(url) => return Some(url),
        };
        let found = problem.unwrap_or_default();
        self.place.fault(
            found,
            "http:// or https:// with a host and without credentials",
        );
        None
    }
}

impl Table<'_> {
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        max: Duration,
    ) -> Duration {
        let node = self.take(key);
        node.and_then(|node| node.duration(max)).unwrap_or(default)
    }

    pub(super) fn size(&mut self, key: &'static str, default: u64) -> u64 {
        let node = self.take(key);
        node.and_then(|node| node.size()).unwrap_or(default)
    }

    /// From 1 to `max`.
    pub(super) fn count(&mut self, key: &'static str, default: usize, max: u64) -> usize {
        let node = self.take(key);
        node.and_then(|node| node.integer(1..=max))
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(default)
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let node = self.take(key);
        node.and_then(|node| node.boolean()).unwrap_or(default)
    }
}

/// A duration as one would write it: years and months have no length to count on.
pub(super) fn shown(duration: Duration) -> String {
    let days = duration.as_secs() / DAY.as_secs();
    if days > 0 && DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)) == duration {
        return format!("{days}d");
    }
    humantime::format_duration(duration).to_string()
}

/// What routes and targets may be called: `[a-z0-9][a-z0-9_-]{0,63}`.
pub(super) fn is_name(text: &str) -> bool {
    let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    text.len() <= 64
        && text.bytes().all(|byte| inner(&byte))
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
}

pub(super) const NAME_SHAPE: &str =
    "a name of at most 64 of a-z, 0-9, `_` and `-` that begins with a letter or a digit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "0", "crm-2_b", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
