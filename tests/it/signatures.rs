//! The scheme language against the RFCs, against every preset of the table, and against those who would forge.

use std::borrow::Cow;

use hookgate::{
    clock::Timestamp,
    signature::{
        self, Algorithm, Encoding, Form, Headers, KeySource, KeyedScheme, KeyedSecret, Message,
        Method, Part, Refusal, Repeated, Scheme, SecretFault, SecretForm, Signing, Source,
        Validity, parse_template,
    },
};

mod certificates;
mod keys;
mod parts;
mod presets;
mod refusals;

/// Headers as a list; names in any case.
#[derive(Clone)]
struct List(Vec<(String, Vec<u8>)>);

impl List {
    fn of(headers: &[(String, String)]) -> Self {
        let bytes = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
        Self(headers.iter().map(bytes).collect())
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut list = self.without(name);
        list.0.push((name.to_owned(), value.as_bytes().to_vec()));
        list
    }

    fn without(&self, name: &str) -> Self {
        let others = self.0.iter().filter(|(known, _)| known != name);
        Self(others.cloned().collect())
    }

    fn doubled(&self, name: &str) -> Self {
        let mut list = self.clone();
        list.0
            .push((name.to_owned(), self.value(name).as_bytes().to_vec()));
        list
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        let (_, value) = found.expect("the header is there");
        std::str::from_utf8(value).expect("the header is text")
    }
}

impl Headers for List {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (first, None) => Ok(first.map(|(_, value)| &**value)),
        }
    }
}

fn keyed(scheme: &Scheme, secret: &str, validity: Validity) -> KeyedSecret {
    let keyed = scheme.keyed_secret("S", secret.as_bytes(), validity);
    keyed.expect("the secret has the scheme's form")
}

/// What one scheme says of a POST that needs neither address nor document.
fn verify(
    scheme: &Scheme,
    secrets: &[KeyedSecret],
    headers: &List,
    body: &[u8],
    now: Timestamp,
) -> Result<usize, Refusal> {
    let keyed = [KeyedScheme {
        scheme: scheme.clone(),
        secrets: secrets.to_vec(),
    }];
    signature::verify(&keyed, &Message::new(headers, body), now).map(|proven| proven.secret)
}

/// HMAC-SHA256 of the body in hex, in `x-signature` after `is:`.
fn by_hand(signed: &str) -> Scheme {
    Scheme {
        name: "test".into(),
        method: Method::Hmac(Algorithm::Sha256),
        encoding: Encoding::Hex,
        signature: Source::Headers(vec!["x-signature".into()].into()),
        form: Form::Bare {
            prefix: "is:".into(),
        },
        signed: Cow::Owned(parse_template(signed).expect("a template")),
        timestamp: None,
        secret_form: SecretForm::Text,
        guards: Cow::Borrowed(&[]),
        body_sha256: None,
        each: None,
        key: KeySource::Secrets,
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

/// Asserts that `scheme` takes `signature` and makes it, and refuses it for another body.
fn assert_signature(scheme: &Scheme, key: &str, question: &str, body: &[u8], signature: &str) {
    let secrets = [keyed(scheme, key, Validity::default())];
    let signature = format!("is:{signature}");
    let given = vec![("X-Question".to_owned(), question.to_owned())];
    let mut headers = given.clone();
    headers.push(("X-Signature".to_owned(), signature.clone()));
    let headers = List::of(&headers);
    let now = Timestamp::from_secs(0);
    assert_eq!(
        verify(scheme, &secrets, &headers, body, now),
        Ok(0),
        "{scheme:?}"
    );
    let mismatch = Err(Refusal::SignatureMismatch);
    assert_eq!(
        verify(scheme, &secrets, &headers, b"?", now),
        mismatch,
        "{scheme:?}"
    );

    let signing = Signing {
        headers: &given,
        ..Signing::new("", now, body)
    };
    let made = scheme.sign(&secrets[0], &signing).expect("a secret signs");
    assert_eq!(
        made.headers.last(),
        Some(&("x-signature".to_owned(), signature))
    );
}

#[test]
fn every_algorithm_and_encoding_agrees_with_the_rfcs() {
    assert_eq!((CASE_2.len(), CASE_3.len()), (3, 3));
    let scheme = |algorithm: Algorithm, encoding: Encoding, signed: &str| Scheme {
        method: Method::Hmac(algorithm),
        encoding,
        ..by_hand(signed)
    };
    for (algorithm, hex, base64) in CASE_2 {
        for (encoding, signature) in [(Encoding::Hex, hex), (Encoding::Base64, base64)] {
            let scheme = scheme(*algorithm, encoding, "what do {header:X-Question} {body}?");
            assert_signature(&scheme, "Jefe", "ya want", b"for nothing", signature);
        }
    }
    for (algorithm, hex, base64) in CASE_3 {
        for (encoding, signature) in [(Encoding::Hex, hex), (Encoding::Base64, base64)] {
            let base64_key = Scheme {
                secret_form: SecretForm::Base64 {
                    prefix: "key_".into(),
                    required: false,
                },
                ..scheme(*algorithm, encoding, "{body}")
            };
            for key in [
                "key_qqqqqqqqqqqqqqqqqqqqqqqqqqo=",
                "qqqqqqqqqqqqqqqqqqqqqqqqqqo",
            ] {
                assert_signature(&base64_key, key, "", &[0xdd; 50], signature);
            }
            let hex_key = Scheme {
                secret_form: SecretForm::Hex,
                ..scheme(*algorithm, encoding, "{body}")
            };
            assert_signature(&hex_key, &"Aa".repeat(20), "", &[0xdd; 50], signature);
        }
    }
}
