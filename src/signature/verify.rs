//! Judging a request's signature.

use serde_json::Value;
use subtle::Choice;

use super::{
    KeyedScheme, Message, Method, Proven, Refusal, Repeated, Scheme, Source,
    claim::Claim,
    content::{Piece, Reading, Request, Signatures},
    key::Key,
};
use crate::clock::Timestamp;

/// Entries that a signature header may list, of whatever kind. More is malformed.
pub const ENTRIES_MAX: usize = 16;
/// Numbered headers, one of each key of the sender (DocuSign has up to 100).
pub const NUMBERED_MAX: usize = 100;

/// Elements of a list of which each must pass ([`Scheme::each`]). More is malformed.
pub const ELEMENTS_MAX: usize = 1_000;

/// Which secret proves the request, and that of which scheme: the first that applies judges, alone.
///
/// Every secret is tried against every signature, and a missing or malformed header costs the same MACs as a wrong
/// signature, so the time tells nothing. When several refusals apply, the first of these is told (to the operator
/// only): `RepeatedHeader`, `MissingSignature`, `MissingTimestamp`, `MalformedSignature`, `StaleTimestamp`,
/// `SignatureMismatch`, `ExpiredKey`. So a stale request is called stale even when its signature is wrong too, and
/// an expired key is told only when nothing else was wrong. Public keys are no secrets: they are only looked at when
/// nothing else is wrong.
///
/// In a list, entries of other kinds and entries that do not decode are skipped; a list in which none decodes is
/// malformed. Hex may be of either case, base64 is the standard alphabet with padding. `now` is cut to the rule's
/// unit, as the providers' own libraries do.
pub fn verify(
    schemes: &[KeyedScheme],
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Proven, Refusal> {
    let request = Request::new(message);
    let (scheme, refusal) = judge_of(schemes, &request).ok_or(Refusal::MissingSignature)?;
    let verdict = schemes[scheme].judge(&request, now);
    match (refusal, verdict) {
        (Some(Refusal::MissingSignature), Err(Refusal::RepeatedHeader)) => {
            Err(Refusal::RepeatedHeader)
        }
        (Some(refusal), _) => Err(refusal),
        (None, verdict) => verdict.map(|secret| Proven { scheme, secret }),
    }
}

/// The scheme that judges, and why the request is refused whatever it says. `None`: there are no schemes.
pub(super) fn judge_of(
    schemes: &[KeyedScheme],
    request: &Request<'_>,
) -> Option<(usize, Option<Refusal>)> {
    if let [only] = schemes
        && only.scheme.guards.is_empty()
    {
        return Some((0, None));
    }
    // Of schemes whose signature is there in a shape that they do not take: it is told that it is malformed.
    let mut misshapen = None;
    for (index, keyed) in schemes.iter().enumerate() {
        let guarded = keyed.scheme.guards.iter().try_fold(true, |all, guard| {
            Ok::<_, Repeated>(all & request.passes(guard)?)
        });
        match guarded {
            Err(Repeated) => return Some((index, Some(Refusal::RepeatedHeader))),
            Ok(true) if keyed.scheme.is_signed(request) => {
                if keyed.scheme.has_entry(request) {
                    return Some((index, None));
                }
                misshapen = misshapen.or(Some(index));
            }
            Ok(_) => {}
        }
    }
    match misshapen {
        Some(index) => Some((index, None)),
        None => (!schemes.is_empty()).then_some((0, Some(Refusal::MissingSignature))),
    }
}

impl Scheme {
    /// Whether anything stands where the signature does.
    pub(super) fn is_signed(&self, request: &Request<'_>) -> bool {
        match (&self.signature, &self.each) {
            (Source::Json(_), Some(_)) => self.elements(request).is_some_and(|all| {
                all.iter()
                    .any(|one| request.has(Some(one), &self.signature))
            }),
            _ => request.has(None, &self.signature),
        }
    }

    /// Whether what stands there has an entry for this scheme.
    pub(super) fn has_entry(&self, request: &Request<'_>) -> bool {
        let mut reading = Reading::new(self, request, None);
        let signatures = match &self.each {
            None => reading.signatures(),
            Some(_) => return true,
        };
        let several = signatures.several.iter().map(|(_, value)| value);
        let twice = reading.refusal == Some(Refusal::RepeatedHeader);
        twice
            || std::iter::once(&signatures.only)
                .chain(several)
                .any(|value| self.form.has_entry(value))
    }

    /// The values that [`Scheme::each`] points to. `None`: there is a list whose elements are not all there, or they
    /// are too many.
    pub(super) fn elements<'r>(&self, request: &'r Request<'_>) -> Option<Vec<&'r Value>> {
        let mut found: Vec<_> = request.document().into_iter().collect();
        let pointer = self.each.as_deref().unwrap_or_default();
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let mut next = Vec::new();
            for value in found {
                match (value, segment.as_str()) {
                    (Value::Array(elements), "*") => next.extend(elements),
                    (Value::Object(members), name) => next.push(members.get(name)?),
                    _ => return None,
                }
                if next.len() > ELEMENTS_MAX {
                    return None;
                }
            }
            found = next;
        }
        Some(found)
    }
}

impl KeyedScheme {
    /// The index of the first secret that proves the request, or of each of its elements; of those, the first's.
    fn judge(&self, request: &Request<'_>, now: Timestamp) -> Result<usize, Refusal> {
        if self.scheme.each.is_none() {
            return self.judge_one(request, None, now);
        }
        let elements = self.scheme.elements(request);
        let elements = elements.ok_or(Refusal::MalformedSignature)?;
        let verdicts = elements
            .into_iter()
            .map(|element| self.judge_one(request, Some(element), now));
        let heavier =
            |one: Result<usize, Refusal>, other: Result<usize, Refusal>| match (one, other) {
                (Err(one), Err(other)) if other.weight() > one.weight() => Err(other),
                (Ok(_), Err(other)) => Err(other),
                (one, _) => one,
            };
        verdicts
            .reduce(heavier)
            .unwrap_or(Err(Refusal::MissingSignature))
    }

    pub(super) fn judge_one(
        &self,
        request: &Request<'_>,
        element: Option<&Value>,
        now: Timestamp,
    ) -> Result<usize, Refusal> {
        let mut reading = Reading::new(&self.scheme, request, element);
        let signatures = reading.signatures();
        let claims = self.scheme.claims(&signatures, &mut reading);
        let value = &*signatures.only;
        let pieces = reading.pieces(value);
        if let Some(rule) = &self.scheme.timestamp {
            let at = reading.piece(&rule.source, value);
            if !rule.admits(at.bytes(b""), now) {
                reading.refuse(Refusal::StaleTimestamp);
            }
        }
        reading.judge_body(value);
        let verdict = match self.scheme.method {
            Method::Hmac(_) | Method::Digest(_) | Method::Equal => {
                self.try_secrets(&claims, &pieces, now)
            }
            Method::Ed25519 | Method::EcdsaP256 | Method::Rsa(_) => match reading.refusal {
                Some(refusal) => Err(refusal),
                None => self.try_public_keys(&claims, &pieces, request.message.fetched_key, now),
            },
        };
        match reading.refusal {
            Some(refusal) => Err(refusal),
            None => verdict,
        }
    }

    /// One digest for every secret, compared with every signature, without an early exit.
    fn try_secrets(
        &self,
        claims: &[Claim],
        pieces: &[Piece<'_>],
        now: Timestamp,
    ) -> Result<usize, Refusal> {
        let mut verdict = Verdict::default();
        for (index, secret) in self.secrets.iter().enumerate() {
            let Some(digest) = secret.key.digest(self.scheme.method, pieces) else {
                continue;
            };
            let compare = |any: Choice, claim: &Claim| match claim.digest_for(index) {
                Some(claimed) => any | digest.ct_eq(claimed),
                None => any,
            };
            let matches = bool::from(claims.iter().fold(Choice::from(0), compare));
            verdict.note(index, matches, secret.validity.holds(now));
        }
        verdict.told()
    }

    fn try_public_keys(
        &self,
        claims: &[Claim],
        pieces: &[Piece<'_>],
        fetched: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<usize, Refusal> {
        let mut content = Vec::new();
        for piece in pieces {
            content.extend_from_slice(piece.bytes(b""));
        }
        let mut verdict = Verdict::default();
        if let Some(key) = fetched.and_then(|spki| Key::public(self.scheme.method, spki)) {
            let proves = |claim: &Claim| claim.is_proven_by(0, &key, &content);
            verdict.note(0, claims.iter().any(proves), true);
        }
        for (index, secret) in self.secrets.iter().enumerate() {
            let proves = |claim: &Claim| claim.is_proven_by(index, &secret.key, &content);
            verdict.note(index, claims.iter().any(proves), secret.validity.holds(now));
        }
        verdict.told()
    }
}

/// Which secrets matched.
#[derive(Default)]
struct Verdict {
    proven: Option<usize>,
    expired: bool,
}

impl Verdict {
    fn note(&mut self, index: usize, matches: bool, holds: bool) {
        if matches && holds {
            self.proven = self.proven.or(Some(index));
        }
        self.expired |= matches && !holds;
    }

    fn told(self) -> Result<usize, Refusal> {
        self.proven.ok_or(match self.expired {
            true => Refusal::ExpiredKey,
            false => Refusal::SignatureMismatch,
        })
    }
}

impl Refusal {
    /// Which of two refusals is told: the one that weighs more.
    pub(super) const fn weight(self) -> u8 {
        match self {
            Self::RepeatedHeader => 6,
            Self::MissingSignature => 5,
            Self::MissingTimestamp => 4,
            Self::MalformedSignature => 3,
            Self::StaleTimestamp => 2,
            Self::SignatureMismatch => 1,
            Self::ExpiredKey => 0,
        }
    }
}

impl Scheme {
    /// Every signature that decodes.
    pub(super) fn claims(
        &self,
        signatures: &Signatures<'_>,
        reading: &mut Reading<'_>,
    ) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut few = self.form.signatures(&signatures.only, |text| {
            claims.extend(Claim::decode(self, None, text));
        });
        for (place, value) in &signatures.several {
            let owner = matches!(self.signature, Source::Paired(_)).then_some(*place);
            few &= self.form.signatures(value, |text| {
                claims.extend(Claim::decode(self, owner, text));
            });
        }
        let claims_max = match self.signature {
            Source::Numbered(_) => NUMBERED_MAX,
            _ => ENTRIES_MAX,
        };
        if claims.is_empty() || claims.len() > claims_max || !few {
            reading.refuse(Refusal::MalformedSignature);
        }
        claims.truncate(claims_max);
        claims
    }
}
