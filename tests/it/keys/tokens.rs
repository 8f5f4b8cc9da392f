//! A token passes when it is all that its rule says, and every known attack on one is refused.

use std::{borrow::Cow, time::Duration};

use hookgate::{
    clock::Timestamp,
    signature::{
        Validity,
        jwt::{
            Audience, Circumstances, JwtAlgorithm, JwtRule, KEYS_MAX, KeyFault, KeySet,
            KeySetFault, Keys, SharedSecret, TOKEN_BYTES_MAX, TokenFault as F,
        },
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::tokens::{ED25519, P256, RSA, Signer, b64, rsa, rsa_spki};

const NOW: i64 = 1_700_000_000;
const BODY: &[u8] = br#"{"id":"evt_1"}"#;
const SECRET: &[u8] = b"a-shared-secret";

fn rule(algorithms: &'static [JwtAlgorithm]) -> JwtRule {
    JwtRule {
        header: "authorization".into(),
        prefix: "Bearer ".into(),
        algorithms: algorithms.into(),
        issuers: vec![Cow::Borrowed("https://issuer.example")].into(),
        audience: Audience::These(vec![Cow::Borrowed("hooks")].into()),
        expires: true,
        max_age: None,
        leeway: Duration::from_secs(60),
        body_sha256: None,
        claims: Cow::Borrowed(&[]),
    }
}

/// As [`rule`] wants them.
fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "hooks", "iat": NOW, "exp": NOW + 300})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

fn at(now: i64) -> Circumstances<'static> {
    Circumstances {
        body: BODY,
        public_url: Some("https://hooks.example/in"),
        now: Timestamp::from_secs(now),
    }
}

fn verify(rule: &JwtRule, token: &str, keys: Keys<'_>) -> Result<usize, F> {
    let value = format!("Bearer {token}");
    let token = rule.read(value.as_bytes())?;
    rule.verify(&token, keys, &at(NOW))
}

fn set(jwks: &[Value]) -> KeySet {
    KeySet::from_jwks(&json!({ "keys": jwks })).unwrap()
}

fn secret(bytes: &[u8]) -> SharedSecret<'_> {
    SharedSecret {
        bytes,
        validity: Validity::default(),
    }
}

const EVERY_PUBLIC: &[JwtAlgorithm] = &[
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Ps256,
    JwtAlgorithm::Es256,
    JwtAlgorithm::EdDsa,
];

fn every_signer() -> [Signer<'static>; 4] {
    [
        Signer::Rs256(&RSA),
        Signer::Ps256(&RSA),
        Signer::Es256(&P256),
        Signer::EdDsa(&ED25519),
    ]
}

#[test]
fn every_algorithm_proves_with_its_own_key_and_no_other() {
    let rule = rule(EVERY_PUBLIC);
    for signer in every_signer() {
        let name = signer.algorithm();
        let token = signer.token(&claims());
        let own = set(&[signer.jwk("k1")]);
        assert_eq!(verify(&rule, &token, Keys::Public(&own)), Ok(0), "{name}");

        let others = every_signer();
        let others = others.iter().filter(|other| other.algorithm() != name);
        let others = set(&others.map(|other| other.jwk("k1")).collect::<Vec<_>>());
        let verdict = verify(&rule, &token, Keys::Public(&others));
        assert_eq!(verdict, Err(F::UnknownKey), "{name}");
    }
    let rule = self::rule(&[JwtAlgorithm::Hs256]);
    let token = Signer::Hs256(SECRET).token(&claims());
    let secrets = [secret(b"another"), secret(SECRET)];
    assert_eq!(verify(&rule, &token, Keys::Secrets(&secrets)), Ok(1));
    let wrong = verify(&rule, &token, Keys::Secrets(&secrets[..1]));
    assert_eq!(wrong, Err(F::Signature));
}

#[test]
fn every_bit_of_a_token_counts() {
    let rule = rule(EVERY_PUBLIC);
    for signer in [Signer::Es256(&P256), Signer::EdDsa(&ED25519)] {
        let keys = set(&[signer.jwk("k1")]);
        let token = signer.token(&claims()).into_bytes();
        let mut refused = 0;
        for index in 0..token.len() * 8 {
            let mut altered = token.clone();
            altered[index / 8] ^= 1 << (index % 8);
            let value = [b"Bearer ", altered.as_slice()].concat();
            let verdict = rule
                .read(&value)
                .and_then(|token| rule.verify(&token, Keys::Public(&keys), &at(NOW)));
            assert!(verdict.is_err(), "bit {index} of {token:?}");
            refused += 1;
        }
        assert!(refused > 1000);
    }
}

#[test]
fn the_algorithm_is_the_rules_to_say() {
    let keys = set(&[Signer::Rs256(&RSA).jwk("k1")]);
    let public = rule(&[JwtAlgorithm::Rs256]);
    // A token that says so is not signed at all.
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": none}).to_string();
        let unsigned = format!("{}.{}.", b64(header), b64(claims().to_string()));
        assert_eq!(
            verify(&public, &unsigned, Keys::Public(&keys)),
            Err(F::Algorithm),
            "{none}"
        );
    }
    // The public key, in each form in which a forger has it, as the secret of an HMAC.
    let spki = rsa_spki(&RSA);
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &spki)
    );
    for offered in [spki.as_slice(), pem.as_bytes(), b""] {
        let forged = Signer::Hs256(offered).token(&claims());
        assert_eq!(
            verify(&public, &forged, Keys::Public(&keys)),
            Err(F::Algorithm)
        );
        // Even a rule that took both would not mix keys and secrets.
        let both = rule(&[JwtAlgorithm::Hs256, JwtAlgorithm::Rs256]);
        assert_eq!(
            verify(&both, &forged, Keys::Public(&keys)),
            Err(F::UnknownKey)
        );
        let signed = Signer::Rs256(&RSA).token(&claims());
        let secrets = [secret(offered)];
        assert_eq!(
            verify(&both, &signed, Keys::Secrets(&secrets)),
            Err(F::Algorithm)
        );
    }
    // A signature of PS256 under the name of RS256, and the other way round, with one key for both.
    let mut either = Signer::Rs256(&RSA).jwk("k1");
    either.as_object_mut().unwrap().remove("alg");
    let keys = set(&[either]);
    let both = rule(&[JwtAlgorithm::Rs256, JwtAlgorithm::Ps256]);
    let ps_as_rs = Signer::Ps256(&RSA).token_with(&json!({"alg": "RS256"}), &claims());
    assert_eq!(
        verify(&both, &ps_as_rs, Keys::Public(&keys)),
        Err(F::Signature)
    );
    for honest in [Signer::Rs256(&RSA), Signer::Ps256(&RSA)] {
        assert_eq!(
            verify(&both, &honest.token(&claims()), Keys::Public(&keys)),
            Ok(0)
        );
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_looked_at() {
    let rule = rule(&[JwtAlgorithm::Rs256]);
    let keys = set(&[Signer::Rs256(&RSA).jwk("k1")]);
    let own = rsa();
    let forger = Signer::Rs256(&own);
    for kid in ["k1", "theirs"] {
        let header = json!({
            "alg": "RS256", "kid": kid, "jwk": forger.jwk(kid), "jku": "https://forger.example/jwks",
            "x5u": "https://forger.example/chain", "x5c": [b64(rsa_spki(&own))],
        });
        let verdict = verify(
            &rule,
            &forger.token_with(&header, &claims()),
            Keys::Public(&keys),
        );
        let expected = if kid == "k1" {
            F::Signature
        } else {
            F::UnknownKey
        };
        assert_eq!(verdict, Err(expected), "{kid}");
        // What it brings along does not harm a token that is signed as it must be.
        let signed = Signer::Rs256(&RSA).token_with(&header, &claims());
        assert_eq!(
            verify(&rule, &signed, Keys::Public(&keys)).is_ok(),
            kid == "k1"
        );
    }
}

#[test]
fn a_header_that_must_be_understood_is_refused() {
    let rule = rule(&[JwtAlgorithm::EdDsa]);
    let signer = Signer::EdDsa(&ED25519);
    let keys = set(&[signer.jwk("k1")]);
    let rows = [
        (r#"{"alg":"EdDSA","crit":["exp"]}"#, F::Critical),
        (r#"{"alg":"EdDSA","crit":[]}"#, F::Critical),
        (r#"{"alg":"EdDSA","crit":null}"#, F::Critical),
        (r#"{"alg":"EdDSA","b64":false}"#, F::Critical),
        (r#"{"alg":"none","alg":"EdDSA"}"#, F::Malformed),
        (r#"{"alg":"EdDSA","kid":"k1","kid":"k2"}"#, F::Malformed),
        (r#"{"kid":"k1"}"#, F::Malformed),
        (r#"{"alg":["EdDSA"]}"#, F::Malformed),
        (r#"{"alg":"EdDSA","kid":7}"#, F::Malformed),
        (r#"{"alg":"eddsa"}"#, F::Algorithm),
        ("", F::Malformed),
        ("null", F::Malformed),
    ];
    for (header, expected) in rows {
        let token = signer.token_of(header, &claims().to_string());
        assert_eq!(
            verify(&rule, &token, Keys::Public(&keys)),
            Err(expected),
            "{header}"
        );
    }
    let long = json!({"alg": "EdDSA", "kid": "k".repeat(257)});
    let token = signer.token_with(&long, &claims());
    assert_eq!(
        verify(&rule, &token, Keys::Public(&keys)),
        Err(F::UnknownKey)
    );
}

#[test]
fn a_token_has_one_form() {
    let rule = rule(&[JwtAlgorithm::EdDsa]);
    let signer = Signer::EdDsa(&ED25519);
    let keys = set(&[signer.jwk("k1")]);
    let token = signer.token(&claims());
    let parts: Vec<_> = token.split('.').collect();
    let unpadded = b64(br#"{"alg":"EdDSA" }"#);
    assert_ne!(unpadded.len() % 4, 0, "or there would be nothing to pad");
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    let rows = [
        (String::new(), F::Missing),
        (format!("{token}."), F::Malformed),
        (format!(".{token}"), F::Malformed),
        (format!("{}.{}", parts[0], parts[1]), F::Malformed),
        (format!("{}..{}", parts[0], parts[2]), F::Malformed),
        (format!("{}.{}.", parts[0], parts[1]), F::Signature),
        (format!("{token}=="), F::Malformed),
        (
            format!("{unpadded}==.{}.{}", parts[1], parts[2]),
            F::Malformed,
        ),
        (
            format!("{} .{}.{}", parts[0], parts[1], parts[2]),
            F::Malformed,
        ),
        (
            format!("{}.{}.{}", parts[0], parts[1], "+/+/"),
            F::Malformed,
        ),
        // The JSON forms (RFC 7515, 7.2).
        (
            json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
            F::Malformed,
        ),
        (
            format!("{}.{}.{}", parts[0], b64("[]"), parts[2]),
            F::Malformed,
        ),
        (
            format!("{}.{}.{}", parts[0], b64("[".repeat(4000)), parts[2]),
            F::Malformed,
        ),
        (long, F::TooLong),
    ];
    for (text, expected) in rows {
        let head = &text[..text.len().min(80)];
        assert_eq!(
            verify(&rule, &text, Keys::Public(&keys)),
            Err(expected),
            "{head}"
        );
    }
    // The last character of a signature of 64 bytes holds 4 bits that mean nothing: they must be zero.
    let last = token.chars().next_back().unwrap();
    let others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
    for other in others.filter(|other| *other != last) {
        let altered = format!("{}{other}", &token[..token.len() - 1]);
        assert!(
            verify(&rule, &altered, Keys::Public(&keys)).is_err(),
            "{other}"
        );
    }
    for value in ["bearer ", "BEARER ", "Bearer  "] {
        let read = format!("{value}{token}");
        assert!(rule.read(read.as_bytes()).is_ok(), "{value}");
    }
    for value in ["Basic ", "Bearer", ""] {
        let read = format!("{value}{token}");
        assert_eq!(
            rule.read(read.as_bytes()).unwrap_err(),
            F::Missing,
            "{value}"
        );
    }
}

#[test]
fn claims_are_what_the_rule_says() {
    let rule = rule(&[JwtAlgorithm::EdDsa]);
    let signer = Signer::EdDsa(&ED25519);
    let keys = set(&[signer.jwk("k1")]);
    let rows = [
        (claims(), Ok(0)),
        (with("aud", json!(["x", "hooks"])), Ok(0)),
        (with("aud", json!(["x"])), Err(F::Audience)),
        (with("aud", json!([["hooks"]])), Err(F::Audience)),
        (with("aud", json!("hooks2")), Err(F::Audience)),
        (without("aud"), Err(F::Audience)),
        (
            with("iss", json!("https://issuer.example/")),
            Err(F::Issuer),
        ),
        (
            with("iss", json!(["https://issuer.example"])),
            Err(F::Issuer),
        ),
        (without("iss"), Err(F::Issuer)),
        // The leeway is 60 s: one second before its end, and at its end.
        (with("exp", json!(NOW - 59)), Ok(0)),
        (with("exp", json!(NOW - 60)), Err(F::Expired)),
        (with("exp", json!(NOW as f64 - 59.5)), Ok(0)),
        (without("exp"), Err(F::Time)),
        (with("exp", json!("tomorrow")), Err(F::Time)),
        (with("exp", json!(null)), Err(F::Time)),
        (with("exp", json!(-1)), Err(F::Time)),
        (with("exp", json!(1e300)), Err(F::Time)),
        (with("exp", json!(NOW * 1000)), Err(F::Time)),
        (with("nbf", json!(NOW + 60)), Ok(0)),
        (with("nbf", json!(NOW + 61)), Err(F::NotYet)),
        (with("iat", json!(NOW + 60)), Ok(0)),
        (with("iat", json!(NOW + 61)), Err(F::NotYet)),
        (with("iat", json!(0)), Ok(0)),
        (without("iat"), Ok(0)),
    ];
    for (claims, expected) in rows {
        let verdict = verify(&rule, &signer.token(&claims), Keys::Public(&keys));
        assert_eq!(verdict, expected, "{claims}");
    }
}

#[test]
fn the_age_the_body_and_other_claims() {
    let signer = Signer::EdDsa(&ED25519);
    let keys = set(&[signer.jwk("k1")]);
    let digest = hex::encode(Sha256::digest(BODY));
    let rule = JwtRule {
        audience: Audience::PublicUrl,
        expires: false,
        max_age: Some(Duration::from_secs(300)),
        leeway: Duration::ZERO,
        body_sha256: Some("digest".into()),
        claims: vec![
            (Cow::Borrowed("email"), Cow::Borrowed("a@b.example")),
            (Cow::Borrowed("email_verified"), Cow::Borrowed("true")),
        ]
        .into(),
        ..rule(&[JwtAlgorithm::EdDsa])
    };
    let good = json!({
        "iss": "https://issuer.example", "aud": "https://hooks.example/in", "iat": NOW - 300,
        "digest": digest, "email": "a@b.example", "email_verified": true,
    });
    let rows = [
        ("digest", json!(digest.to_uppercase()), Ok(0)),
        ("email_verified", json!("true"), Ok(0)),
        ("iat", json!(NOW - 301), Err(F::TooOld)),
        ("iat", json!(NOW + 1), Err(F::NotYet)),
        ("iat", json!("x"), Err(F::Time)),
        (
            "digest",
            json!(hex::encode(Sha256::digest(b"{}"))),
            Err(F::Body),
        ),
        ("digest", json!(""), Err(F::Body)),
        ("digest", json!(digest[..62]), Err(F::Body)),
        ("digest", json!(7), Err(F::Body)),
        ("email", json!("A@b.example"), Err(F::Claim)),
        ("email", json!(["a@b.example"]), Err(F::Claim)),
        ("email_verified", json!(false), Err(F::Claim)),
        ("email_verified", json!(1), Err(F::Claim)),
        ("aud", json!("https://hooks.example/in/"), Err(F::Audience)),
    ];
    assert_eq!(
        verify(&rule, &signer.token(&good), Keys::Public(&keys)),
        Ok(0)
    );
    for (name, value, expected) in rows {
        let mut claims = good.clone();
        claims[name] = value;
        let verdict = verify(&rule, &signer.token(&claims), Keys::Public(&keys));
        assert_eq!(verdict, expected, "{claims}");
    }
    let token = signer.token(&good);
    let value = format!("Bearer {token}");
    let nowhere = Circumstances {
        public_url: None,
        ..at(NOW)
    };
    let read = rule.read(value.as_bytes()).unwrap();
    let verdict = rule.verify(&read, Keys::Public(&keys), &nowhere);
    assert_eq!(
        verdict,
        Err(F::Audience),
        "nothing is the audience of nobody"
    );
}

#[test]
fn a_signature_is_judged_whatever_the_claims_say() {
    let rule = rule(&[JwtAlgorithm::Hs256]);
    let token = Signer::Hs256(b"wrong").token(&without("aud"));
    let secrets = [secret(SECRET)];
    assert_eq!(
        verify(&rule, &token, Keys::Secrets(&secrets)),
        Err(F::Signature)
    );
    let ended = SharedSecret {
        validity: Validity {
            not_before: None,
            not_after: Some(Timestamp::from_secs(NOW - 1)),
        },
        ..secret(SECRET)
    };
    let token = Signer::Hs256(SECRET).token(&claims());
    assert_eq!(
        verify(&rule, &token, Keys::Secrets(&[ended])),
        Err(F::ExpiredKey)
    );
    assert_eq!(
        verify(&rule, &token, Keys::Secrets(&[ended, secret(SECRET)])),
        Ok(1)
    );
    assert_eq!(verify(&rule, &token, Keys::Secrets(&[])), Err(F::Signature));
}

#[test]
fn a_set_holds_what_may_verify_and_nothing_else() {
    let rsa = Signer::Rs256(&RSA).jwk("k1");
    let changed = |name: &str, value: Value| {
        let mut jwk = rsa.clone();
        jwk[name] = value;
        jwk
    };
    let mut oversized = vec![0xff; 1025];
    oversized[1024] = 0x01;
    let rows = [
        (changed("use", json!("enc")), KeyFault::Use),
        (changed("key_ops", json!(["encrypt"])), KeyFault::Use),
        (changed("alg", json!("RS512")), KeyFault::Kind),
        (changed("alg", json!("HS256")), KeyFault::Kind),
        (changed("kty", json!("rsa")), KeyFault::Kind),
        (changed("n", json!(b64([0xff; 128]))), KeyFault::RsaBits),
        (
            changed("n", json!(b64([&[0x7f], [0xff; 255].as_slice()].concat()))),
            KeyFault::RsaBits,
        ),
        (changed("n", json!(b64(oversized))), KeyFault::RsaBits),
        (changed("n", json!("")), KeyFault::RsaBits),
        (changed("n", json!("???")), KeyFault::Numbers),
        (changed("e", json!("")), KeyFault::Numbers),
        (Signer::Hs256(SECRET).jwk("k1"), KeyFault::Secret),
        (
            json!({"kty": "EC", "crv": "P-384", "x": "", "y": ""}),
            KeyFault::Kind,
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([1; 32])}),
            KeyFault::Numbers,
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": b64([1; 31]), "y": b64([1; 33])}),
            KeyFault::Numbers,
        ),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": b64([1; 31])}),
            KeyFault::Numbers,
        ),
        (
            json!({"kty": "OKP", "crv": "X25519", "x": b64([1; 32])}),
            KeyFault::Kind,
        ),
        (json!("key"), KeyFault::Kind),
    ];
    for (jwk, fault) in rows {
        let alone = KeySet::from_jwks(&json!({"keys": [jwk]}));
        assert_eq!(alone.unwrap_err(), KeySetFault::NoneOfUse(fault), "{jwk}");
        // Beside a key of use it is left out.
        KeySet::from_jwks(&json!({"keys": [jwk, rsa]})).unwrap();
    }
    let empty = KeySet::from_jwks(&json!({"keys": []})).unwrap_err();
    assert_eq!(empty, KeySetFault::NoneOfUse(KeyFault::None));
    for none in [json!({}), json!([rsa]), json!({"keys": {}}), json!(null)] {
        assert_eq!(KeySet::from_jwks(&none).unwrap_err(), KeySetFault::NotJwks);
    }
    let many = json!({"keys": vec![rsa; KEYS_MAX + 1]});
    assert_eq!(KeySet::from_jwks(&many).unwrap_err(), KeySetFault::TooMany);
}

#[test]
fn a_key_is_found_by_its_kid() {
    let rule = rule(&[JwtAlgorithm::EdDsa, JwtAlgorithm::Es256]);
    let other = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let (one, two) = (Signer::EdDsa(&ED25519), Signer::EdDsa(&other));
    let keys = set(&[two.jwk("k2"), one.jwk("k1"), Signer::Es256(&P256).jwk("k3")]);
    let token = |signer: &Signer<'_>, header: Value| signer.token_with(&header, &claims());
    let rows = [
        (token(&one, json!({"alg": "EdDSA", "kid": "k1"})), Ok(0)),
        (token(&one, json!({"alg": "EdDSA"})), Ok(0)),
        (
            token(&one, json!({"alg": "EdDSA", "kid": "k2"})),
            Err(F::Signature),
        ),
        (
            token(&one, json!({"alg": "EdDSA", "kid": "k3"})),
            Err(F::UnknownKey),
        ),
        (
            token(&one, json!({"alg": "EdDSA", "kid": "K1"})),
            Err(F::UnknownKey),
        ),
        (
            token(&one, json!({"alg": "EdDSA", "kid": ""})),
            Err(F::UnknownKey),
        ),
    ];
    for (token, expected) in rows {
        assert_eq!(
            verify(&rule, &token, Keys::Public(&keys)),
            expected,
            "{token}"
        );
    }
    let until = |at| keys.clone().until(Some(Timestamp::from_secs(at)));
    let token = one.token(&claims());
    assert_eq!(verify(&rule, &token, Keys::Public(&until(NOW))), Ok(0));
    assert_eq!(
        verify(&rule, &token, Keys::Public(&until(NOW - 1))),
        Err(F::ExpiredKey)
    );
}
