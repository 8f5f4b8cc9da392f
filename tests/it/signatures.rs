//! Presets against the providers' own published vectors, and schemes against the RFCs'.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use hookgate::{
    clock::Timestamp,
    config::Pointer,
    ingest::json::{Found, Plan},
    providers::{PRESETS, Place, Preset, preset},
    signature::{
        Algorithm, Encoding, Form, Headers, Part, Refusal, Repeated, Scheme, SecretForm, Signing,
        parse_template,
    },
};
use serde::Deserialize;

mod refusals;

/// Headers as a list; names in any case.
#[derive(Clone)]
struct List(Vec<(String, String)>);

impl Headers for List {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (first, None) => Ok(first.map(|(_, value)| value.as_bytes())),
        }
    }
}

/// A signed request, and whether the provider's own libraries take it.
#[derive(Deserialize)]
struct Vector {
    id: String,
    provider: String,
    secret: String,
    headers: BTreeMap<String, String>,
    body_b64: String,
    /// `None`: the verdict does not depend on the time.
    now_unix: Option<i64>,
    valid: bool,
    expected_event_id: Option<String>,
}

impl Vector {
    fn all() -> Vec<Self> {
        let text = include_str!("../vectors/signatures.json");
        serde_json::from_str(text).expect("the file is a list of vectors")
    }

    fn preset(&self) -> &'static Preset {
        preset(&self.provider).unwrap_or_else(|| panic!("no preset for {}", self.provider))
    }

    fn headers(&self) -> List {
        List(self.headers.clone().into_iter().collect())
    }

    fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body_b64).expect("body_b64 is base64")
    }

    fn is_accepted_at(&self, now: Timestamp) -> bool {
        let scheme = &self.preset().scheme;
        // A secret that cannot be loaded accepts nothing.
        let Ok(secret) = scheme.keyed_secret("TEST", self.secret.as_bytes(), None) else {
            return false;
        };
        let verdict = scheme.verify(&[secret], &self.headers(), &self.body(), now);
        verdict == Ok(0)
    }
}

/// Signed with ed25519 (`v1a`), which the preset does not verify yet. Such a request must be
/// refused, not taken unproven; whoever adds ed25519 takes the vector out of this list.
const NOT_VERIFIED_YET: &[&str] = &["standardwebhooks-v1a-1"];

#[test]
fn every_published_vector_gets_its_verdict() {
    let mut verdicts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let vectors = Vector::all();
    for vector in &vectors {
        let expected = vector.valid && !NOT_VERIFIED_YET.contains(&vector.id.as_str());
        let times = match vector.now_unix {
            Some(now) => vec![now],
            None => vec![0, 1_700_000_000, 1 << 40],
        };
        for now in times {
            let accepted = vector.is_accepted_at(Timestamp::from_secs(now));
            assert_eq!(accepted, expected, "{} at {now}", vector.id);
        }
        verdicts.entry(&vector.provider).or_default()[usize::from(expected)] += 1;
    }
    for preset in PRESETS {
        let [invalid, valid] = verdicts.get(preset.name).copied().unwrap_or_default();
        assert!(valid > 0 && invalid > 0, "{}: {verdicts:?}", preset.name);
    }
    for id in NOT_VERIFIED_YET {
        assert!(
            vectors
                .iter()
                .any(|vector| vector.id == *id && vector.valid)
        );
    }
}

#[test]
fn an_ed25519_signature_is_malformed_to_an_hmac_secret() {
    let vectors = Vector::all();
    let is_listed = |vector: &&Vector| NOT_VERIFIED_YET.contains(&vector.id.as_str());
    let vector = vectors.iter().find(is_listed).expect("the vector is there");
    let scheme = &vector.preset().scheme;
    let secret = scheme.keyed_secret("TEST", b"c2VjcmV0", None).unwrap();
    let now = Timestamp::from_secs(vector.now_unix.expect("the vector has a time"));
    let verdict = scheme.verify(&[secret], &vector.headers(), &vector.body(), now);
    assert_eq!(verdict, Err(Refusal::MalformedSignature));
}

/// The first of `places` that exists, as text.
fn text_at(places: &[Place], headers: &List, body: &[u8]) -> Option<String> {
    places.iter().find_map(|place| match place {
        Place::Header(name) => {
            let value = headers.unique(name).expect("the header stands once")?;
            Some(String::from_utf8(value.to_vec()).expect("the header is text"))
        }
        Place::Json(pointer) => {
            let plan = Plan::new(&[Pointer::parse(pointer).expect("a preset's pointer parses")]);
            match plan.scan(body).expect("the body is JSON").remove(0) {
                Found::String(text) => Some(text.into_owned()),
                _ => None,
            }
        }
    })
}

#[test]
fn event_ids_stand_where_the_presets_look() {
    let mut checked: BTreeMap<String, usize> = BTreeMap::new();
    for vector in Vector::all().iter().filter(|vector| vector.valid) {
        let Some(expected) = &vector.expected_event_id else {
            continue;
        };
        let id = text_at(vector.preset().event_id, &vector.headers(), &vector.body());
        assert_eq!(id.as_ref(), Some(expected), "{}", vector.id);
        *checked.entry(vector.provider.clone()).or_default() += 1;
    }
    let providers: Vec<&str> = checked.keys().map(String::as_str).collect();
    assert_eq!(
        providers,
        ["github", "shopify", "standard-webhooks", "stripe"],
        "Slack's vector is a slash command, which has no event id"
    );
}

#[test]
fn slack_events_have_their_id_and_type_in_the_body() {
    let slack = preset("slack").expect("the preset is there");
    let none = List(Vec::new());
    let event = br#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}"#;
    let id = text_at(slack.event_id, &none, event);
    assert_eq!(id.as_deref(), Some("Ev1"));
    let kind = text_at(slack.event_type, &none, event);
    assert_eq!(kind.as_deref(), Some("app_mention"));
    let kind = text_at(slack.event_type, &none, br#"{"type":"url_verification"}"#);
    assert_eq!(kind.as_deref(), Some("url_verification"));
}

#[test]
fn what_a_preset_signs_it_verifies_and_nothing_else() {
    assert_eq!(PRESETS.len(), 5);
    for preset in PRESETS {
        let scheme = &preset.scheme;
        let secret = scheme.keyed_secret("TEST", b"c2VjcmV0IHNlY3JldA==", None);
        let secrets = [secret.unwrap()];
        let now = Timestamp::from_millis(1_700_000_000_999);
        let body = br#"{"id":"evt_1"}"#;
        let given = Signing {
            id: "evt_1",
            timestamp: now,
            body,
            headers: &[],
        };
        let headers = scheme.sign(&secrets[0], &given);
        let verify = |headers: &[(String, String)], body: &[u8]| {
            scheme.verify(&secrets, &List(headers.to_vec()), body, now)
        };
        assert_eq!(verify(&headers, body), Ok(0), "{}", preset.name);

        for at in 0..body.len() {
            let mut tampered = body.to_vec();
            tampered[at] ^= 1;
            let verdict = verify(&headers, &tampered);
            let mismatch = Err(Refusal::SignatureMismatch);
            assert_eq!(verdict, mismatch, "{} byte {at}", preset.name);
        }
        for (at, (name, value)) in headers.iter().enumerate() {
            let mut tampered = headers.clone();
            tampered[at].1 = tamper(value);
            let verdict = verify(&tampered, body);
            assert!(verdict.is_err(), "{} {name}", preset.name);
        }
    }
}

/// Changes a character in the middle, which is never one of base64's unused last bits.
fn tamper(value: &str) -> String {
    let middle = value.len() / 2;
    let other = if value[middle..].starts_with('1') {
        "2"
    } else {
        "1"
    };
    format!("{}{other}{}", &value[..middle], &value[middle + 1..])
}

#[test]
fn signed_headers_go_out_under_the_names_of_the_provider() {
    let names = |provider: &str| -> Vec<String> {
        let scheme = &preset(provider).expect("a preset").scheme;
        let secret = scheme.keyed_secret("TEST", b"c2VjcmV0", None).unwrap();
        let given = Signing {
            id: "an-id",
            timestamp: Timestamp::from_secs(1_700_000_000),
            body: b"{}",
            headers: &[],
        };
        let headers = scheme.sign(&secret, &given);
        headers
            .iter()
            .map(
                |(name, value)| match name.contains("signature") || name.contains("hmac") {
                    true => format!("{name}: {}", &value[..value.len().min(3)]),
                    false => format!("{name}: {value}"),
                },
            )
            .collect()
    };
    assert_eq!(names("github"), ["x-hub-signature-256: sha"]);
    assert_eq!(names("stripe"), ["stripe-signature: t=1"]);
    assert_eq!(
        names("slack"),
        [
            "x-slack-request-timestamp: 1700000000",
            "x-slack-signature: v0="
        ]
    );
    assert_eq!(
        names("standard-webhooks"),
        [
            "webhook-timestamp: 1700000000",
            "webhook-id: an-id",
            "webhook-signature: v1,"
        ]
    );
}

#[test]
fn presets_keep_no_credentials() {
    for preset in PRESETS {
        for name in preset.keep_headers {
            let is_credential = ["signature", "hmac", "authorization", "cookie", "token"]
                .iter()
                .any(|word| name.contains(word));
            assert!(!is_credential, "{} keeps {name}", preset.name);
            assert_eq!(*name, name.to_ascii_lowercase(), "{}", preset.name);
        }
    }
}

/// Test case 2 of RFC 2202 and RFC 4231: the key is `Jefe`.
const CASE_2: &[(Algorithm, &str, &str)] = &[
    (
        Algorithm::Sha1,
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        "7/zfauXrL6LSdBbV8YTfnCWafHk=",
    ),
    (
        Algorithm::Sha256,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",
    ),
    (
        Algorithm::Sha512,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
         9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        "Fkt6e/z4GeLjlfvnO1bgo4e9ZCIugx/WECcM1+olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw==",
    ),
];

/// Test case 3 of both: the key is 20 times `aa`, the data 50 times `dd`.
const CASE_3: &[(Algorithm, &str, &str)] = &[
    (
        Algorithm::Sha1,
        "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
        "El1zQrmsEc2Ro5r0iqF7T2PxddM=",
    ),
    (
        Algorithm::Sha256,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        "dz6pHjaADkaFTbjr0JGBpylZCYs++MEi2WNVFM7VZf4=",
    ),
    (
        Algorithm::Sha512,
        "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39\
         bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
        "+nOwCJ1WooTvsPB1bIkL6bG1292O6Bo2Vfg+M7InnTm/PoSCeaciyAa0haR+Z8gHuUajN77olCZ0J4hZ4TKS+w==",
    ),
];

fn by_hand(
    algorithm: Algorithm,
    encoding: Encoding,
    signed: Vec<Part>,
    form: SecretForm,
) -> Scheme {
    Scheme {
        algorithm,
        encoding,
        header: "x-signature".into(),
        form: Form::Bare {
            prefix: "is:".into(),
        },
        signed: Cow::Owned(signed),
        timestamp: None,
        secret_form: form,
    }
}

/// Asserts that `scheme` takes `signature` and makes it, and refuses it for another body.
fn assert_signature(scheme: &Scheme, key: &[u8], question: &str, body: &[u8], signature: &str) {
    let secrets = [scheme.keyed_secret("TEST", key, None).unwrap()];
    let signature = format!("is:{signature}");
    let given = vec![("X-Question".to_owned(), question.to_owned())];
    let mut headers = given.clone();
    headers.push(("X-Signature".to_owned(), signature.clone()));
    let headers = List(headers);
    let now = Timestamp::from_secs(0);
    assert_eq!(
        scheme.verify(&secrets, &headers, body, now),
        Ok(0),
        "{scheme:?}"
    );
    let mismatch = Err(Refusal::SignatureMismatch);
    assert_eq!(
        scheme.verify(&secrets, &headers, b"?", now),
        mismatch,
        "{scheme:?}"
    );

    let signing = Signing {
        id: "",
        timestamp: now,
        body,
        headers: &given,
    };
    let made = scheme.sign(&secrets[0], &signing);
    assert_eq!(made.last(), Some(&("x-signature".to_owned(), signature)));
}

#[test]
fn every_algorithm_and_encoding_agrees_with_the_rfcs() {
    assert_eq!((CASE_2.len(), CASE_3.len()), (3, 3));
    for (algorithm, hex, base64) in CASE_2 {
        for (encoding, signature) in [(Encoding::Hex, hex), (Encoding::Base64, base64)] {
            let signed = parse_template("what do {header:X-Question} {body}?").unwrap();
            let scheme = by_hand(*algorithm, encoding, signed, SecretForm::Text);
            assert_signature(&scheme, b"Jefe", "ya want", b"for nothing", signature);
        }
    }
    for (algorithm, hex, base64) in CASE_3 {
        for (encoding, signature) in [(Encoding::Hex, hex), (Encoding::Base64, base64)] {
            let form = SecretForm::Base64 {
                prefix: "key_".into(),
            };
            let scheme = by_hand(*algorithm, encoding, vec![Part::Body], form);
            for key in [
                "key_qqqqqqqqqqqqqqqqqqqqqqqqqqo=",
                "qqqqqqqqqqqqqqqqqqqqqqqqqqo",
            ] {
                assert_signature(&scheme, key.as_bytes(), "", &[0xdd; 50], signature);
            }
        }
    }
}
