//! How a request was judged, step by step, for the operator. Pure.
//!
//! Told are names, counts, times and the first characters of digests: no secret, and nothing of the body.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    ENTRIES_MAX, Encoding, Form, Guard, KeyedScheme, Message, Method, NUMBERED_MAX, Part, Proven,
    Refusal, Scheme, Source, Test,
    content::{Piece, Reading, Request, Signatures, numbered},
    key::Key,
    verify::{judge_of, verify},
};
use crate::clock::Timestamp;

/// Characters of a digest that are shown: enough to tell two apart, too few to sign with.
const SHOWN: usize = 8;

/// The judgement of one request, and what led to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What [`verify`] says.
    pub verdict: Result<Proven, Refusal>,
    /// For each scheme, in order.
    pub applies: Vec<Applies>,
    /// By the scheme that judges; `None` when none applies.
    pub judged: Option<Judged>,
}

/// Whether a scheme is the one that judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    Judges,
    /// It could, but one before it does.
    Later,
    /// The request lacks what it must have, in words.
    Not(String),
}

/// What the scheme that judges has found.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its index.
    pub scheme: usize,
    /// Where a signature was found, in words.
    pub found: Vec<String>,
    /// The shape that it must have, e.g. `sha256=<hex>`.
    pub form: String,
    /// Signatures of that shape, and how many of them decode.
    pub entries: usize,
    pub decoded: usize,
    /// Of a list each of whose elements is signed: how many there are, and which of them (from 0) is told of here, the first
    /// that is refused.
    pub element: Option<(usize, usize)>,
    pub time: Option<Time>,
    /// What is signed, as a template; empty where the signature is the secret itself.
    pub signed: String,
    /// Signed parts that the request lacks.
    pub missing: Vec<String>,
    /// The beginning of each signature that decodes; none where the signature is the secret itself.
    pub received: Vec<String>,
    pub tried: Vec<Tried>,
}

/// When the request says that it was signed.
#[derive(Clone, Debug)]
pub struct Time {
    pub place: String,
    /// `None`: it is missing, or no time.
    pub at: Option<Timestamp>,
    pub past: Option<Duration>,
    pub future: Option<Duration>,
    pub admitted: bool,
}

/// One secret and what came of it.
#[derive(Clone, Debug)]
pub struct Tried {
    pub name: Arc<str>,
    /// Whether it proves anything now.
    pub holds: bool,
    /// The beginning of what the signature would be; `None` of public keys, and of secrets that are sent themselves.
    pub expected: Option<String>,
    pub matches: bool,
}

/// Judges as [`verify`] does, and tells how.
pub fn explain(schemes: &[KeyedScheme], message: &Message<'_>, now: Timestamp) -> Explanation {
    let request = Request::new(message);
    let judge = judge_of(schemes, &request);
    let mut applies: Vec<_> = schemes
        .iter()
        .map(|keyed| match keyed.scheme.lacks(&request) {
            Some(lack) => Applies::Not(lack),
            None => Applies::Later,
        })
        .collect();
    let judged = judge.and_then(|(index, refusal)| {
        if refusal == Some(Refusal::MissingSignature) {
            return None;
        }
        applies[index] = Applies::Judges;
        Some(schemes[index].explain(index, &request, now))
    });
    Explanation {
        verdict: verify(schemes, message, now),
        applies,
        judged,
    }
}

impl KeyedScheme {
    fn explain(&self, index: usize, request: &Request<'_>, now: Timestamp) -> Judged {
        let scheme = &self.scheme;
        let elements = match &scheme.each {
            Some(_) => scheme.elements(request).unwrap_or_default(),
            None => Vec::new(),
        };
        let is_refused = |element: &&Value| self.judge_one(request, Some(element), now).is_err();
        let at = elements.iter().position(is_refused).unwrap_or(0);
        let root = elements.get(at).copied();
        let mut reading = Reading::new(scheme, request, root);
        let signatures = reading.signatures();
        let value = &*signatures.only;
        let texts = scheme.form.texts(&signatures);
        let claims = scheme.claims(&signatures, &mut reading);
        let pieces = reading.pieces(value);
        let content: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.bytes(b"").iter().copied())
            .collect();
        let tried = self.secrets.iter().enumerate().map(|(index, secret)| {
            let digest = secret.key.digest(scheme.method, &pieces);
            let matches = claims.iter().any(|claim| match &digest {
                Some(digest) => {
                    let claimed = claim.digest_for(index);
                    claimed.is_some_and(|claimed| bool::from(digest.ct_eq(claimed)))
                }
                None => claim.is_proven_by(index, &secret.key, &content),
            });
            let is_shown = scheme.method != Method::Equal;
            let digest = digest.filter(|_| is_shown);
            Tried {
                name: secret.name.clone(),
                holds: secret.validity.holds(now),
                expected: digest.map(|digest| scheme.encoding.beginning(digest.as_bytes())),
                matches,
            }
        });
        let mut tried: Vec<_> = tried.collect();
        if let Some(spki) = request.message.fetched_key {
            let key = Key::public(scheme.method, spki);
            let proves = |key: &Key| {
                claims
                    .iter()
                    .any(|claim| claim.is_proven_by(0, key, &content))
            };
            tried.push(Tried {
                name: "the fetched certificate".into(),
                holds: true,
                expected: None,
                matches: key.as_ref().is_some_and(proves),
            });
        }
        Judged {
            scheme: index,
            found: scheme.signature.found(request),
            form: scheme.shape(),
            entries: texts.len(),
            decoded: claims.len(),
            element: scheme.each.as_ref().map(|_| (at, elements.len())),
            time: scheme.time(request, root, value, now),
            signed: template(&scheme.signed),
            missing: scheme.missing(request, root, value),
            received: match scheme.method {
                Method::Equal => Vec::new(),
                _ => texts.iter().map(|text| beginning(text)).collect(),
            },
            tried,
        }
    }
}

impl Scheme {
    /// What a request lacks for this scheme to apply, in words.
    fn lacks(&self, request: &Request<'_>) -> Option<String> {
        for guard in self.guards.iter() {
            match request.passes(guard) {
                Ok(true) => {}
                Ok(false) => return Some(guard.told()),
                Err(_) => return Some(format!("{} once", place(&guard.place))),
            }
        }
        (!self.is_signed(request) || !self.has_entry(request)).then(|| self.signature.told())
    }

    fn time(
        &self,
        request: &Request<'_>,
        root: Option<&Value>,
        value: &[u8],
        now: Timestamp,
    ) -> Option<Time> {
        let rule = self.timestamp.as_ref()?;
        let mut reading = Reading::new(self, request, root);
        let piece = reading.piece(&rule.source, value);
        Some(Time {
            place: place(&rule.source),
            at: rule.unit.parse(piece.bytes(b"")),
            past: rule.past,
            future: rule.future,
            admitted: rule.admits(piece.bytes(b""), now),
        })
    }

    fn missing(&self, request: &Request<'_>, root: Option<&Value>, value: &[u8]) -> Vec<String> {
        let is_missing = |part: &&Part| {
            let mut reading = Reading::new(self, request, root);
            let _piece: Piece<'_> = reading.piece(part, value);
            reading.refusal.is_some()
        };
        let missing = self.signed.iter().filter(is_missing);
        missing.map(place).collect()
    }

    /// The shape of the signature's text.
    fn shape(&self) -> String {
        let encoding = match self.encoding {
            Encoding::Hex => "<hex>",
            Encoding::Base64 => "<base64>",
            Encoding::Text => "<the secret>",
        };
        match &self.form {
            Form::Bare { prefix } => format!("{prefix}{encoding}"),
            Form::Pairs {
                separator,
                signature_key,
            } => format!("{signature_key}={encoding}, pairs between `{separator}`"),
            Form::Versions { version } => format!("{version},{encoding}, between spaces"),
        }
    }
}

impl Form {
    fn texts<'s>(&self, signatures: &'s Signatures<'_>) -> Vec<&'s [u8]> {
        let mut texts = Vec::new();
        let several = signatures.several.iter().map(|(_, value)| value);
        for value in std::iter::once(&signatures.only).chain(several) {
            if !value.is_empty() {
                self.signatures(value, |text| texts.push(text));
            }
        }
        texts.truncate(ENTRIES_MAX);
        texts
    }
}

impl Source {
    /// Where a request's signature must stand, in words.
    pub fn told(&self) -> String {
        match self {
            Self::Headers(names) | Self::Paired(names) => match names.as_ref() {
                [only] => format!("the header {only}"),
                names => format!("one of the headers {}", names.join(", ")),
            },
            Self::Numbered(name) => format!("one of the headers {name}-1, {name}-2, …"),
            Self::Json(pointer) => format!("{pointer} in the body"),
            Self::Query(name) => format!("the parameter {name} of the query string"),
        }
    }

    fn found(&self, request: &Request<'_>) -> Vec<String> {
        let headers = |names: &mut dyn Iterator<Item = String>| -> Vec<String> {
            let is_there = |name: &String| {
                let found = request.message.headers.unique(name);
                !matches!(found, Ok(None))
            };
            let found = names.filter(is_there);
            found.map(|name| format!("the header {name}")).collect()
        };
        match self {
            Self::Headers(names) => {
                let mut found = headers(&mut names.iter().map(|name| name.to_string()));
                found.truncate(1);
                found
            }
            Self::Paired(names) => headers(&mut names.iter().map(|name| name.to_string())),
            Self::Numbered(name) => {
                headers(&mut (1..=NUMBERED_MAX).map(|number| numbered(name, number)))
            }
            Self::Json(_) | Self::Query(_) => vec![self.told()],
        }
    }
}

impl Guard {
    fn told(&self) -> String {
        let place = place(&self.place);
        match &self.test {
            Test::Present => place,
            Test::Is(text) => format!("{place} = {text}"),
            Test::StartsWith(text) => format!("{place} that begins with {text}"),
            Test::Contains(text) => format!("{place} that holds {text}"),
        }
    }
}

impl Encoding {
    fn beginning(self, digest: &[u8]) -> String {
        let text = match self {
            Self::Hex => hex::encode(digest),
            Self::Base64 | Self::Text => STANDARD.encode(digest),
        };
        beginning(text.as_bytes())
    }
}

fn beginning(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown = text.chars().take(SHOWN).filter(|c| !c.is_control());
    shown.collect()
}

/// A part as it is called in words.
fn place(part: &Part) -> String {
    match part {
        Part::Header(name) => format!("the header {name}"),
        Part::Json(pointer) => format!("{pointer} in the body"),
        Part::Query(name) => format!("the parameter {name} of the query string"),
        Part::Pair(name) => format!("`{name}=` in the signature's header"),
        other => template(std::slice::from_ref(other)),
    }
}

/// What is signed, as routes.toml writes it.
fn template(parts: &[Part]) -> String {
    let piece = |part: &Part| match part {
        Part::Literal(text) => text.replace('\n', "\\n"),
        Part::Body => "{body}".to_owned(),
        Part::Secret => "{secret}".to_owned(),
        Part::Method => "{method}".to_owned(),
        Part::Url => "{url}".to_owned(),
        Part::Path => "{path}".to_owned(),
        Part::Header(name) => format!("{{header:{name}}}"),
        Part::Pair(name) => format!("{{sig.{name}}}"),
        Part::Json(pointer) => format!("{{json:{pointer}}}"),
        Part::Query(name) => format!("{{query:{name}}}"),
        Part::Param(name) => format!("{{param:{name}}}"),
        Part::SortedForm => "{sorted_form}".to_owned(),
        Part::Crc32 => "{crc32}".to_owned(),
        Part::JsonLines(names) => format!("{{json_lines:{}}}", names.join(",")),
        Part::Listed(listed) => format!("{{listed:{}}}", place(&listed.list)),
    };
    parts.iter().map(piece).collect()
}
