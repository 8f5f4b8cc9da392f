//! What it costs to verify a request of 1 KiB, for each scheme of each preset.

use std::{hint::black_box, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use criterion::Criterion;
use hookgate::{
    clock::Timestamp,
    providers::PRESETS,
    signature::{
        self, KeySource, KeyedScheme, Message, Method, Part, Scheme, SecretForm, Signing, Validity,
    },
};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _,
    SignatureAlgorithm,
};
use serde_json::{Value, json};

use crate::steps::Pairs;

const BODY_BYTES: usize = 1024;
const NOW: Timestamp = Timestamp::from_secs(1_777_777_777);
const URL: &str = "https://hooks.example.com/hooks/bench";

static ED25519: LazyLock<KeyPair> = LazyLock::new(|| pair(&PKCS_ED25519));
static ECDSA: LazyLock<KeyPair> = LazyLock::new(|| pair(&PKCS_ECDSA_P256_SHA256));
static RSA: LazyLock<KeyPair> = LazyLock::new(|| pair(&PKCS_RSA_SHA256));

fn pair(kind: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(kind).unwrap()
}

/// One row for each scheme that can be signed; RSA with SHA-1 is only verified.
pub(crate) fn presets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify-preset");
    for preset in PRESETS.iter() {
        for scheme in preset.schemes() {
            let row = format!("{}/{}", preset.name, scheme.name);
            let Some(bench) = Bench::of(scheme) else {
                continue;
            };
            let message = Message {
                url: &bench.url,
                document: &|| serde_json::from_slice(&bench.body).ok(),
                params: &bench.params,
                fetched_key: bench.fetched_key.as_deref(),
                ..Message::new(&bench.headers, &bench.body)
            };
            group.bench_function(row, |bencher| {
                bencher.iter(|| signature::verify(&bench.keyed, black_box(&message), NOW).unwrap());
            });
        }
    }
    group.finish();
}

/// A signed request, and what proves it.
struct Bench {
    keyed: [KeyedScheme; 1],
    fetched_key: Option<Vec<u8>>,
    params: Vec<(String, String)>,
    url: String,
    headers: Pairs,
    body: Vec<u8>,
}

impl Bench {
    fn of(scheme: &Scheme) -> Option<Self> {
        let pair = match scheme.method {
            Method::Ed25519 => &*ED25519,
            Method::EcdsaP256 => &*ECDSA,
            _ => &*RSA,
        };
        let params: Vec<_> = scheme
            .parts()
            .filter_map(|part| match part {
                Part::Param(name) => Some((name.to_string(), "parameter".to_owned())),
                _ => None,
            })
            .collect();
        let secret = secret(scheme, pair);
        let private = match scheme.method.has_public_key() {
            true => pair.serialize_pem(),
            false => secret.clone(),
        };
        let body = body(scheme);
        let signing = Signing {
            url: URL,
            params: &params,
            ..Signing::new("evt_1", NOW, &body)
        };
        let key = scheme.signing_key("bench", private.as_bytes()).unwrap();
        let signed = scheme.sign(&key, &signing).ok()?;
        let mut url = URL.to_owned();
        for (name, value) in &signed.query {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
        let fetched = matches!(scheme.key, KeySource::Certificate { .. });
        let known = || scheme.keyed_secret("bench", secret.as_bytes(), Validity::default());
        Some(Self {
            keyed: [KeyedScheme {
                scheme: scheme.clone(),
                secrets: if fetched {
                    Vec::new()
                } else {
                    vec![known().unwrap()]
                },
            }],
            fetched_key: fetched.then(|| pair.subject_public_key_info()),
            url,
            headers: Pairs(signed.headers),
            body: signed.body.unwrap_or(body),
            params,
        })
    }
}

fn secret(scheme: &Scheme, pair: &KeyPair) -> String {
    let spki = pair.subject_public_key_info();
    let raw = &spki[spki.len() - 32..];
    match (&scheme.secret_form, scheme.method) {
        (SecretForm::Hex, Method::Ed25519) => hex::encode(raw),
        (SecretForm::Base64 { prefix, .. }, Method::Ed25519) => {
            format!("{prefix}{}", BASE64_STANDARD.encode(raw))
        }
        (SecretForm::Spki, _) => BASE64_STANDARD.encode(spki),
        (SecretForm::Hex, _) => "c0ffee00".repeat(8),
        (SecretForm::Base64 { prefix, .. } | SecretForm::Base64OrText { prefix }, _) => {
            format!("{prefix}YS1iZW5jaG1hcmstc2VjcmV0LW9mLTMyLWJ5dGVzISE=")
        }
        (SecretForm::Text, _) => "a benchmark secret".to_owned(),
    }
}

/// With all that the scheme reads, filled up to 1 KiB.
fn body(scheme: &Scheme) -> Vec<u8> {
    if scheme.signed.contains(&Part::SortedForm) {
        let field = |number: usize| format!("Field{number:02}=value+{number:02}");
        let fields: Vec<_> = (0..BODY_BYTES / 17).rev().map(field).collect();
        return fields.join("&").into_bytes();
    }
    let mut element = json!({ "id": "evt_1", "type": "order.created" });
    for part in scheme.parts() {
        match part {
            Part::Json(pointer) => put(&mut element, pointer),
            Part::JsonLines(names) => {
                for name in names.iter() {
                    put(&mut element, &format!("/{name}"));
                }
            }
            _ => {}
        }
    }
    let length = element.to_string().len();
    element["pad"] = json!("x".repeat(BODY_BYTES.saturating_sub(length + 9)));
    let each = scheme.each.as_deref().unwrap_or_default();
    let segments = each.rsplit('/').filter(|segment| !segment.is_empty());
    let document = segments.fold(element, |inner, segment| match segment {
        "*" => json!([inner]),
        name => json!({ name: inner }),
    });
    document.to_string().into_bytes()
}

fn put(document: &mut Value, pointer: &str) {
    let mut place = document;
    for name in pointer.split('/').skip(1) {
        place = &mut place[name];
    }
    *place = json!("a value");
}
