//! A captured request: from a HAR file, a `curl -v` dump, or plain HTTP.

use std::io::Read;

use crate::clock::Timestamp;

mod har;
mod lines;

/// More of a capture is not read.
pub(super) const CAPTURE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const HEADERS_MAX: usize = 1_000;

/// One request, as somebody saw it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Capture {
    /// What the file is, in words.
    pub(super) kind: &'static str,
    /// In upper case.
    pub(super) method: String,
    /// The address that was called, where the capture tells it whole.
    pub(super) url: Option<url::Url>,
    /// Without the query string.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// In order; names in lower case.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// Whether the body is known to be whole and exact: in a dump the line end after it may be the dump's own.
    pub(super) body_is_exact: bool,
    pub(super) at: Option<Timestamp>,
}

/// Why a capture cannot be read. Never repeats what stands in it but names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CaptureFault {
    /// 1-based.
    pub(super) line: Option<usize>,
    pub(super) found: String,
    pub(super) expected: String,
}

impl CaptureFault {
    fn at(line: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            found: found.into(),
            expected: expected.into(),
        }
    }

    fn of(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            line: None,
            found: found.into(),
            expected: expected.into(),
        }
    }
}

impl std::fmt::Display for CaptureFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "found {}; expected {}", self.found, self.expected)
    }
}

/// The whole of `source`; `Err` tells in words.
pub(super) fn read_bounded(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = source.take(CAPTURE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > CAPTURE_BYTES_MAX {
        let mebibytes = CAPTURE_BYTES_MAX / (1024 * 1024);
        return Err(format!("it is larger than {mebibytes} MiB"));
    }
    Ok(bytes)
}

impl Capture {
    /// The request that `bytes` holds, of several the one with the number `entry` (from 1); `body` stands in for the
    /// capture's own.
    pub(super) fn parse(
        bytes: &[u8],
        entry: Option<usize>,
        body: Option<Vec<u8>>,
    ) -> Result<Self, CaptureFault> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let has_body = body.is_some();
        let mut capture = match Kind::of(bytes)? {
            Kind::Har => har::parse(bytes, entry)?,
            Kind::Curl => lines::parse_curl(bytes, entry, has_body)?,
            Kind::Http => lines::parse_http(bytes, entry, has_body)?,
        };
        if let Some(body) = body {
            capture.body = body;
            capture.body_is_exact = true;
        }
        Ok(capture)
    }

    /// The values of a header, `name` in lower case.
    pub(super) fn header<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c [u8]> {
        let named = move |(known, _): &&(String, Vec<u8>)| known == name;
        self.headers
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_slice())
    }

    /// What `Content-Length` says.
    pub(super) fn announced_bytes(&self) -> Option<usize> {
        let value = self.header("content-length").next()?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    }

    fn push_header(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        if self.headers.len() == HEADERS_MAX {
            return Err(format!("more than {HEADERS_MAX} headers"));
        }
        let name = http::HeaderName::try_from(name).map_err(|_| "no header's name".to_owned())?;
        if http::HeaderValue::from_bytes(value).is_err() {
            return Err(format!("a value that the header {name} cannot have"));
        }
        self.headers
            .push((name.as_str().to_owned(), value.to_vec()));
        Ok(())
    }

    /// A target as it stands in a request line: `/path?query`, or a whole address. `Err`: it is neither.
    fn set_target(&mut self, target: &str) -> Result<(), ()> {
        let local = match target.split_once("://") {
            Some(_) => {
                let url = url::Url::parse(target).map_err(|_| ())?;
                if !url.has_host() {
                    return Err(());
                }
                self.url = Some(url);
                let after_scheme = target.split_once("://").map_or("", |(_, rest)| rest);
                match after_scheme.find(['/', '?', '#']) {
                    Some(at) => after_scheme[at..].to_owned(),
                    None => "/".to_owned(),
                }
            }
            None if target.starts_with('/') => target.to_owned(),
            None => return Err(()),
        };
        let local = local.split('#').next().unwrap_or_default();
        let (path, query) = match local.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (local, None),
        };
        self.path = if path.is_empty() { "/" } else { path }.to_owned();
        self.query = query;
        Ok(())
    }
}

enum Kind {
    Har,
    Curl,
    Http,
}

impl Kind {
    fn of(bytes: &[u8]) -> Result<Self, CaptureFault> {
        const EXPECTED: &str = "a HAR file (JSON), a dump of `curl -v` (`> POST /path HTTP/1.1`), or plain HTTP (`POST \
                                /path HTTP/1.1`, headers, an empty line, the body)";
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(CaptureFault::of("nothing", EXPECTED));
        }
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Ok(Self::Har);
        }
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let (at, first) = lines
            .find(|(_, line)| !line.trim_ascii().is_empty())
            .unwrap_or_default();
        if lines::is_request_line(first) {
            return Ok(Self::Http);
        }
        if lines::is_curl(bytes) {
            return Ok(Self::Curl);
        }
        Err(CaptureFault::at(at + 1, "something else", EXPECTED))
    }
}
