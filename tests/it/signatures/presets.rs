//! Every scheme of every preset: what it signs it verifies, and nothing else.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hookgate::{
    config::{parse_schemes, schemes_text},
    providers::{IdPlace, PRESETS, Place, Preset},
    signature::{SignFault, Signed},
};
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use super::{
    Encoding, KeySource, KeyedScheme, KeyedSecret, List, Message, Method, Part, Refusal, Scheme,
    SecretForm, Signing, Source, Timestamp, Validity, keys, signature,
};

/// No part of a second, so that seconds and milliseconds are as far from the edges.
const NOW: Timestamp = Timestamp::from_secs(1_777_777_777);
const URL: &str = "https://hooks.example.com/in?x=1";

/// Whose signature leaves parts of the body out: credentials, and signatures of single fields.
const BODY_NOT_COVERED: &[(&str, &str)] = &[
    ("adyen", "payments"),
    ("aws-sns", "sha256"),
    ("gitlab", "token"),
    ("mailgun", "form"),
    ("mailgun", "json"),
    ("microsoft-graph", "equal"),
    ("okta", "equal"),
    ("telegram", "equal"),
];

/// Whose event id stands in a header that is not signed.
const ID_NOT_COVERED: &[(&str, &str)] = &[
    ("bitbucket", "hmac"),
    ("coinbase-cdp", "hmac"),
    ("contentful", "hmac"),
    ("github", "hmac"),
    ("gitlab", "token"),
    ("hook0", "hmac"),
    ("jira", "hmac"),
    ("linear", "hmac"),
    ("razorpay", "hmac"),
    ("sentry", "hmac"),
    ("shopify", "hmac"),
    ("twilio", "form"),
    ("twilio", "json"),
    ("twilio", "sha256-form"),
    ("twilio", "sha256-json"),
    ("woocommerce", "hmac"),
    ("zendesk", "hmac"),
];

/// Only verified: nobody should sign so any more.
const NOT_SIGNED: &[(&str, &str)] = &[("aws-sns", "sha1")];

/// One scheme of a preset with a key.
struct Subject {
    preset: &'static Preset,
    scheme: &'static Scheme,
    signing: KeyedSecret,
    verifying: KeyedScheme,
    fetched_key: Option<Vec<u8>>,
    params: Vec<(String, String)>,
}

impl Subject {
    fn all() -> Vec<Self> {
        let of = |preset: &'static Preset| {
            let schemes = preset.schemes().iter();
            schemes.map(move |scheme| Self::new(preset, scheme))
        };
        let all: Vec<_> = PRESETS.iter().flat_map(of).collect();
        assert!(all.len() >= 40, "only {} schemes", all.len());
        all
    }

    fn new(preset: &'static Preset, scheme: &'static Scheme) -> Self {
        let pair = keys::pair_of(scheme.method);
        let raw = keys::raw_ed25519(&keys::ED25519);
        let text = match (&scheme.secret_form, scheme.method) {
            (SecretForm::Hex, Method::Ed25519) => hex::encode(raw),
            (SecretForm::Base64 { prefix, .. }, Method::Ed25519) => {
                format!("{prefix}{}", BASE64_STANDARD.encode(raw))
            }
            (SecretForm::Hex, _) => "c0ffee00".repeat(8),
            (SecretForm::Base64 { prefix, .. } | SecretForm::Base64OrText { prefix }, _) => {
                format!("{prefix}c2VjcmV0IHNlY3JldCBzZWNyZXQ=")
            }
            (SecretForm::Spki, _) => BASE64_STANDARD.encode(pair.subject_public_key_info()),
            (SecretForm::Text, _) => "a secret, of some length".to_owned(),
        };
        let fetched = matches!(scheme.key, KeySource::Certificate { .. });
        let public = || super::keyed(scheme, &text, Validity::default());
        let signing = match scheme.method.has_public_key() {
            true => scheme.signing_key("K", pair.serialize_pem().as_bytes()),
            false => scheme.signing_key("K", text.as_bytes()),
        };
        let params = scheme.parts().filter_map(|part| match part {
            Part::Param(name) => Some((name.to_string(), "a parameter".to_owned())),
            _ => None,
        });
        Self {
            preset,
            scheme,
            signing: signing.expect("a key"),
            verifying: KeyedScheme {
                scheme: scheme.clone(),
                secrets: if fetched { Vec::new() } else { vec![public()] },
            },
            fetched_key: fetched.then(|| pair.subject_public_key_info()),
            params: params.collect(),
        }
    }

    fn name(&self) -> (&'static str, &'static str) {
        (self.preset.name, &self.scheme.name)
    }

    /// A request as the provider would send it; `None` where the scheme is only verified.
    fn request(&self) -> Option<Request> {
        let body = body_for(self.scheme);
        let given = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-extra".to_owned(), "extra".to_owned()),
        ];
        let signing = Signing {
            headers: &given,
            url: URL,
            params: &self.params,
            ..Signing::new("msg_id-1", NOW, &body)
        };
        let signed = match self.scheme.sign(&self.signing, &signing) {
            Err(SignFault::Sha1) => return None,
            signed => signed.unwrap_or_else(|fault| panic!("{:?}: {fault}", self.name())),
        };
        let Signed {
            headers,
            query,
            body: changed,
        } = signed;
        let mut url = URL.to_owned();
        for (name, value) in query {
            url.push_str(&format!("&{name}={value}"));
        }
        let mut all = given;
        all.retain(|(name, _)| headers.iter().all(|(set, _)| set != name));
        all.extend(headers);
        Some(Request {
            url,
            headers: List::of(&all),
            body: changed.unwrap_or(body),
        })
    }

    fn judge(&self, request: &Request, now: Timestamp) -> Result<usize, Refusal> {
        let keyed = std::slice::from_ref(&self.verifying);
        self.judge_by(keyed, request, now)
            .map(|proven| proven.secret)
    }

    fn judge_by(
        &self,
        schemes: &[KeyedScheme],
        request: &Request,
        now: Timestamp,
    ) -> Result<signature::Proven, Refusal> {
        let message = Message {
            method: "POST",
            url: &request.url,
            headers: &request.headers,
            body: &request.body,
            document: &|| serde_json::from_slice(&request.body).ok(),
            params: &self.params,
            fetched_key: self.fetched_key.as_deref(),
        };
        signature::verify(schemes, &message, now)
    }

    /// Asserts that no change of one bit in the header `name` is taken.
    fn assert_header_is_covered(&self, request: &Request, name: &str) {
        let own = |(known, _): &(String, Vec<u8>)| known == name;
        let at = request.headers.0.iter().position(own);
        let at = at.unwrap_or_else(|| panic!("{:?} sends no {name}", self.name()));
        let value = &request.headers.0[at].1;
        for (byte, bit) in bits(value) {
            let mut forged = request.clone();
            let changed = &mut forged.headers.0[at].1[byte];
            *changed ^= 1 << bit;
            // Hex is read in either case.
            let case = self.scheme.encoding == Encoding::Hex
                && changed.is_ascii_hexdigit()
                && changed.eq_ignore_ascii_case(&value[byte]);
            let verdict = self.judge(&forged, NOW);
            assert!(
                verdict.is_err() || case,
                "{:?} {name}: bit {bit} of byte {byte}",
                self.name()
            );
        }
    }

    /// The time in the body, as far as it stands in a field that is signed.
    fn signed_time(&self, request: &Request) -> Option<String> {
        let Part::Json(pointer) = &self.scheme.timestamp.as_ref()?.source else {
            return None;
        };
        self.scheme.signed.iter().find(|part| match part {
            Part::Json(signed) => signed == pointer,
            Part::JsonLines(names) => names.iter().any(|name| *pointer == format!("/{name}")),
            _ => false,
        })?;
        let document: Value = serde_json::from_slice(&request.body).ok()?;
        Some(document.pointer(pointer)?.as_str()?.to_owned())
    }

    fn header_of_signature(&self) -> Option<String> {
        match &self.scheme.signature {
            Source::Headers(names) | Source::Paired(names) => Some(names[0].to_string()),
            Source::Numbered(name) => Some(format!("{name}-1")),
            Source::Json(_) | Source::Query(_) => None,
        }
    }
}

#[derive(Clone)]
struct Request {
    url: String,
    headers: List,
    body: Vec<u8>,
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = (usize, u8)> + use<> {
    (0..bytes.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
}

/// A body with all that the scheme reads: a form where it sorts one, else JSON.
fn body_for(scheme: &Scheme) -> Vec<u8> {
    if scheme.signed.contains(&Part::SortedForm) {
        return b"b=two&a=one".to_vec();
    }
    let mut element = json!({"id": "evt", "type": "made"});
    for part in scheme.parts() {
        match part {
            Part::Json(pointer) => put(&mut element, pointer, &format!("value of {pointer}")),
            Part::JsonLines(names) => {
                for name in names.iter() {
                    put(
                        &mut element,
                        &format!("/{name}"),
                        &format!("value of {name}"),
                    );
                }
            }
            _ => {}
        }
    }
    let mut document = element;
    if let Some(each) = &scheme.each {
        for segment in each.rsplit('/').filter(|segment| !segment.is_empty()) {
            document = match segment {
                "*" => json!([document, document]),
                name => json!({ name: document }),
            };
        }
    }
    document.to_string().into_bytes()
}

fn put(document: &mut Value, pointer: &str, text: &str) {
    let mut place = document;
    for name in pointer.split('/').skip(1) {
        let members = place.as_object_mut().expect("an object");
        place = members.entry(name).or_insert_with(|| json!({}));
    }
    *place = json!(text);
}

#[test]
fn what_every_scheme_signs_it_verifies() {
    let mut not_signed = Vec::new();
    for subject in Subject::all() {
        let Some(request) = subject.request() else {
            not_signed.push(subject.name());
            continue;
        };
        assert_eq!(subject.judge(&request, NOW), Ok(0), "{:?}", subject.name());
        let every: Vec<_> = Subject::all()
            .into_iter()
            .filter(|other| other.preset.name == subject.preset.name)
            .map(|other| other.verifying)
            .collect();
        let proven = subject.judge_by(&every, &request, NOW);
        let judge = proven.map(|proven| &*every[proven.scheme].scheme.name);
        assert_eq!(judge, Ok(&*subject.scheme.name), "{:?}", subject.name());
    }
    assert_eq!(not_signed, NOT_SIGNED);
}

#[test]
fn no_bit_of_a_covered_body_can_be_changed() {
    let mut not_covered = BTreeSet::new();
    for subject in Subject::all() {
        let Some(request) = subject.request() else {
            continue;
        };
        for (byte, bit) in bits(&request.body) {
            let mut forged = request.clone();
            forged.body[byte] ^= 1 << bit;
            if subject.judge(&forged, NOW).is_ok() {
                not_covered.insert(subject.name());
            }
        }
    }
    let listed: BTreeSet<_> = BODY_NOT_COVERED.iter().copied().collect();
    assert_eq!(not_covered, listed);
}

#[test]
fn no_bit_of_a_signed_field_can_be_changed() {
    let mut fields = 0;
    for subject in Subject::all() {
        let Some(request) = subject.request() else {
            continue;
        };
        let mut values = Vec::new();
        for part in subject.scheme.signed.iter() {
            match part {
                Part::Json(pointer) => values.push(format!("value of {pointer}")),
                Part::JsonLines(names) => {
                    values.extend(names.iter().map(|name| format!("value of {name}")));
                }
                _ => {}
            }
        }
        let body = String::from_utf8(request.body.clone()).expect("JSON");
        if let Some(time) = subject.signed_time(&request) {
            values.push(time);
        }
        for value in values {
            // Where the time stands, and what a guard asks for, there is another value.
            let Some(start) = body.find(&format!("\"{value}\"")) else {
                continue;
            };
            fields += 1;
            for (byte, bit) in bits(value.as_bytes()) {
                let mut forged = request.clone();
                forged.body[start + 1 + byte] ^= 1 << bit;
                let verdict = subject.judge(&forged, NOW);
                assert!(
                    verdict.is_err(),
                    "{:?} {value}: bit {bit} of byte {byte}",
                    subject.name()
                );
            }
        }
    }
    assert!(fields > 10, "only {fields} fields");
}

#[test]
fn no_bit_of_a_signature_can_be_changed() {
    let mut in_body = 0;
    for subject in Subject::all() {
        let Some(request) = subject.request() else {
            continue;
        };
        if let Some(name) = subject.header_of_signature() {
            subject.assert_header_is_covered(&request, &name);
            continue;
        }
        let Source::Json(pointer) = &subject.scheme.signature else {
            panic!("{:?} signs in the query", subject.name());
        };
        in_body += 1;
        let document: Value = serde_json::from_slice(&request.body).unwrap();
        let each = subject.scheme.each.as_deref().unwrap_or_default();
        let first = each.replace('*', "0");
        let value = document
            .pointer(&format!("{first}{pointer}"))
            .and_then(Value::as_str);
        let value = value.expect("the signature").to_owned();
        let body = String::from_utf8(request.body.clone()).unwrap();
        let start = body.find(&value).expect("it stands in the body");
        for (byte, bit) in bits(value.as_bytes()) {
            let mut forged = request.clone();
            let changed = &mut forged.body[start + byte];
            *changed ^= 1 << bit;
            let case = subject.scheme.encoding == Encoding::Hex
                && changed.is_ascii_hexdigit()
                && changed.eq_ignore_ascii_case(&body.as_bytes()[start + byte]);
            let verdict = subject.judge(&forged, NOW);
            assert!(
                verdict.is_err() || case,
                "{:?}: bit {bit} of byte {byte}",
                subject.name()
            );
        }
    }
    assert!(in_body >= 3, "only {in_body} signatures in bodies");
}

#[test]
fn no_bit_of_a_signed_header_can_be_changed() {
    let mut headers = 0;
    for subject in Subject::all() {
        let Some(request) = subject.request() else {
            continue;
        };
        for part in subject.scheme.signed.iter() {
            let names = match part {
                Part::Header(name) => vec![name.clone()],
                Part::Listed(listed) => listed.required.to_vec(),
                _ => continue,
            };
            for name in names {
                headers += 1;
                subject.assert_header_is_covered(&request, &name);
            }
        }
    }
    assert!(headers > 10, "only {headers} headers");
}

#[test]
fn an_id_in_a_header_is_signed_or_listed_here() {
    let mut not_covered = BTreeSet::new();
    for subject in Subject::all() {
        let Some(IdPlace::One(Place::Header(name))) = subject.preset.event_id.first() else {
            continue;
        };
        let Some(request) = subject.request() else {
            continue;
        };
        let named = request.with("x-extra", "").with(name, "one id");
        let other = named.with(name, "another id");
        let signed = request.headers.0.iter().any(|(known, _)| known == name);
        match signed {
            true => assert!(subject.judge(&other, NOW).is_err(), "{:?}", subject.name()),
            false => {
                not_covered.insert(subject.name());
            }
        }
    }
    let listed: BTreeSet<_> = ID_NOT_COVERED.iter().copied().collect();
    assert_eq!(not_covered, listed);
}

impl Request {
    fn with(&self, name: &str, value: &str) -> Self {
        Self {
            headers: self.headers.with(name, value),
            ..self.clone()
        }
    }
}

#[test]
fn the_tolerance_of_every_scheme_is_inclusive() {
    const LONG: Duration = Duration::from_secs(10 * 365 * 86_400);
    const SECOND: Duration = Duration::from_secs(1);
    let mut timed = 0;
    for subject in Subject::all() {
        let (Some(rule), Some(request)) = (&subject.scheme.timestamp, subject.request()) else {
            continue;
        };
        timed += 1;
        let name = subject.name();
        let stale = Err(Refusal::StaleTimestamp);
        let later = |by| subject.judge(&request, NOW.saturating_add(by));
        let earlier = |by| subject.judge(&request, NOW.saturating_sub(by));
        match rule.past {
            Some(past) => {
                assert_eq!(later(past), Ok(0), "{name:?}");
                assert_eq!(later(past + SECOND), stale, "{name:?}");
            }
            None => assert_eq!(later(LONG), Ok(0), "{name:?}"),
        }
        match rule.future {
            Some(future) => {
                assert_eq!(earlier(future), Ok(0), "{name:?}");
                assert_eq!(earlier(future + SECOND), stale, "{name:?}");
            }
            None => assert_eq!(earlier(LONG), Ok(0), "{name:?}"),
        }
    }
    assert!(timed > 10, "only {timed} schemes with a time");
}

#[test]
fn another_key_proves_nothing() {
    let mut judged = 0;
    for subject in Subject::all()
        .into_iter()
        .filter(|one| !one.scheme.method.has_public_key())
    {
        let Some(request) = subject.request() else {
            continue;
        };
        let text = match &subject.scheme.secret_form {
            SecretForm::Hex => "00".repeat(32),
            SecretForm::Base64 { prefix, .. } => format!("{prefix}{}", "A".repeat(32)),
            _ => "a secret of somebody else".to_owned(),
        };
        let keyed = [KeyedScheme {
            scheme: subject.scheme.clone(),
            secrets: vec![super::keyed(subject.scheme, &text, Validity::default())],
        }];
        let verdict = subject.judge_by(&keyed, &request, NOW);
        assert_eq!(
            verdict,
            Err(Refusal::SignatureMismatch),
            "{:?}",
            subject.name()
        );
        judged += 1;
    }
    assert!(judged > 30, "only {judged} schemes");
}

#[test]
fn every_preset_is_written_as_the_configuration_reads_it() {
    let mut read = 0;
    for preset in PRESETS.iter().filter(|preset| !preset.schemes().is_empty()) {
        let text = schemes_text(preset.schemes());
        let schemes = parse_schemes(&text).map_err(|faults| faults.to_string());
        assert_eq!(
            schemes.as_deref(),
            Ok(preset.schemes()),
            "{}: {text}",
            preset.name
        );
        read += 1;
    }
    assert!(read > 30, "only {read} presets");
}
