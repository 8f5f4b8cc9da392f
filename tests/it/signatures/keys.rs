//! Keys of all methods: what is one, what is refused, and that both halves fit.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hookgate::{
    clock::Timestamp,
    providers::preset,
    signature::{SignFault, schemes_of},
};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData as _,
};

use super::{
    Algorithm, Encoding, List, Method, Refusal, Scheme, SecretFault, SecretForm, Signing, Validity,
    by_hand, keyed, verify,
};

pub(super) static RSA: LazyLock<KeyPair> = LazyLock::new(|| pair(&PKCS_RSA_SHA256));
pub(super) static ECDSA: LazyLock<KeyPair> = LazyLock::new(|| pair(&PKCS_ECDSA_P256_SHA256));
pub(super) static ED25519: LazyLock<KeyPair> = LazyLock::new(|| pair(&PKCS_ED25519));

fn pair(kind: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(kind).expect("a key pair")
}

/// The pair that goes with `method`.
pub(super) fn pair_of(method: Method) -> &'static KeyPair {
    match method {
        Method::Ed25519 => &ED25519,
        Method::EcdsaP256 => &ECDSA,
        _ => &RSA,
    }
}

/// The raw key at the end of an SPKI.
pub(super) fn raw_ed25519(pair: &KeyPair) -> Vec<u8> {
    let spki = pair.subject_public_key_info();
    spki[spki.len() - 32..].to_vec()
}

fn spki(pair: &KeyPair) -> String {
    BASE64_STANDARD.encode(pair.subject_public_key_info())
}

fn scheme(method: Method, secret_form: SecretForm) -> Scheme {
    Scheme {
        method,
        encoding: Encoding::Base64,
        secret_form,
        ..by_hand("{body}")
    }
}

const WHPK: SecretForm = SecretForm::Base64 {
    prefix: std::borrow::Cow::Borrowed("whpk_"),
    required: true,
};

#[test]
fn every_form_of_a_public_key_verifies_what_the_private_one_signs() {
    let now = Timestamp::from_secs(0);
    let raw = raw_ed25519(&ED25519);
    let forms = [
        (Method::Ed25519, SecretForm::Hex, hex::encode(&raw)),
        (
            Method::Ed25519,
            WHPK,
            format!("whpk_{}", BASE64_STANDARD.encode(&raw)),
        ),
        (Method::Ed25519, SecretForm::Spki, spki(&ED25519)),
        (Method::Ed25519, SecretForm::Spki, ED25519.public_key_pem()),
        (Method::EcdsaP256, SecretForm::Spki, spki(&ECDSA)),
        (Method::EcdsaP256, SecretForm::Spki, ECDSA.public_key_pem()),
        (Method::Rsa(Algorithm::Sha256), SecretForm::Spki, spki(&RSA)),
        (
            Method::Rsa(Algorithm::Sha512),
            SecretForm::Spki,
            RSA.public_key_pem(),
        ),
    ];
    for (method, form, public) in forms {
        let scheme = scheme(method, form);
        let private = pair_of(method).serialize_pem();
        let private = scheme
            .signing_key("P", private.as_bytes())
            .expect("a private key");
        let signed = scheme
            .sign(&private, &Signing::new("", now, b"body"))
            .unwrap();
        let headers = List::of(&signed.headers);
        let public = [keyed(&scheme, &public, Validity::default())];
        assert_eq!(
            verify(&scheme, &public, &headers, b"body", now),
            Ok(0),
            "{method:?}"
        );
        let other = verify(&scheme, &public, &headers, b"bodi", now);
        assert_eq!(other, Err(Refusal::SignatureMismatch), "{method:?}");
        let unsigned = scheme.sign(&public[0], &Signing::new("", now, b"body"));
        assert_eq!(unsigned, Err(SignFault::PublicKey), "{method:?}");
    }
}

#[test]
fn the_seed_of_an_ed25519_key_signs_like_the_key() {
    let scheme = scheme(Method::Ed25519, SecretForm::Hex);
    // RFC 8032, 7.1, test 3.
    let seed = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
    let public = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let expected = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                    18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let base64 = BASE64_STANDARD.encode(hex::decode(seed).unwrap());
    let both = [hex::decode(seed).unwrap(), hex::decode(public).unwrap()].concat();
    for text in [
        seed.to_owned(),
        base64.clone(),
        format!("whsk_{base64}"),
        format!("whsk_{}", BASE64_STANDARD.encode(both)),
    ] {
        let key = scheme.signing_key("S", text.as_bytes()).expect("a seed");
        let now = Timestamp::from_secs(0);
        let signed = scheme
            .sign(&key, &Signing::new("", now, &[0xaf, 0x82]))
            .unwrap();
        let value = BASE64_STANDARD.encode(hex::decode(expected).unwrap());
        assert_eq!(
            signed.headers,
            [("x-signature".to_owned(), format!("is:{value}"))]
        );
        let public = [keyed(&scheme, public, Validity::default())];
        let headers = List::of(&signed.headers);
        assert_eq!(
            verify(&scheme, &public, &headers, &[0xaf, 0x82], now),
            Ok(0)
        );
    }
    for text in [
        "",
        "00",
        "whsk_",
        "whsk_AAAA",
        "no seed",
        &ECDSA.serialize_pem(),
    ] {
        let fault = scheme.signing_key("S", text.as_bytes()).err();
        assert_eq!(fault, Some(SecretFault::NotPrivateKey), "{text:?}");
    }
}

#[test]
fn rsa_with_sha1_is_only_verified() {
    let scheme = scheme(Method::Rsa(Algorithm::Sha1), SecretForm::Spki);
    let key = scheme
        .signing_key("P", RSA.serialize_pem().as_bytes())
        .unwrap();
    let signing = Signing::new("", Timestamp::from_secs(0), b"body");
    assert_eq!(scheme.sign(&key, &signing), Err(SignFault::Sha1));
}

#[test]
fn what_anyone_may_know_is_no_shared_secret() {
    let raw = BASE64_STANDARD.encode(raw_ed25519(&ED25519));
    let publics = [
        format!("whpk_{raw}"),
        RSA.public_key_pem(),
        ECDSA.public_key_pem(),
        spki(&RSA),
        spki(&ECDSA),
        spki(&ED25519),
        spki(&ECDSA).trim_end_matches('=').to_owned(),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned(),
    ];
    let base64 = SecretForm::Base64 {
        prefix: "whsec_".into(),
        required: false,
    };
    let or_text = SecretForm::Base64OrText {
        prefix: "whsec_".into(),
    };
    for method in [
        Method::Hmac(Algorithm::Sha256),
        Method::Digest(Algorithm::Sha256),
        Method::Equal,
    ] {
        for form in [SecretForm::Text, base64.clone(), or_text.clone()] {
            for public in &publics {
                let fault = scheme(method, form.clone())
                    .keyed_secret("K", public.as_bytes(), Validity::default())
                    .err();
                assert_eq!(
                    fault,
                    Some(SecretFault::PublicKey),
                    "{method:?} {form:?} {public}"
                );
            }
        }
    }
    let in_hex = hex::encode(RSA.subject_public_key_info());
    let hmac = scheme(Method::Hmac(Algorithm::Sha256), SecretForm::Hex);
    let fault = hmac
        .keyed_secret("K", in_hex.as_bytes(), Validity::default())
        .err();
    assert_eq!(fault, Some(SecretFault::PublicKey));
    let prefixed = format!("whsec_{}", spki(&ECDSA));
    let fault = scheme(Method::Hmac(Algorithm::Sha256), base64)
        .keyed_secret("K", prefixed.as_bytes(), Validity::default())
        .err();
    assert_eq!(fault, Some(SecretFault::PublicKey));
}

#[test]
fn only_the_right_public_key_is_one() {
    let other_curve = pair(&PKCS_ECDSA_P384_SHA384).public_key_pem();
    let ecdsa = scheme(Method::EcdsaP256, SecretForm::Spki);
    let ed25519 = scheme(Method::Ed25519, SecretForm::Hex);
    let rsa = scheme(Method::Rsa(Algorithm::Sha256), SecretForm::Spki);
    for (scheme, text, expected) in [
        (&ecdsa, "", SecretFault::Empty),
        (&ecdsa, "AAAA", SecretFault::NotPublicKey),
        (&ecdsa, "no key at all", SecretFault::NotPublicKey),
        (&ecdsa, &other_curve, SecretFault::NotPublicKey),
        (&ecdsa, &RSA.public_key_pem(), SecretFault::NotPublicKey),
        (&ecdsa, &ECDSA.serialize_pem(), SecretFault::PrivateKey),
        (&rsa, &ECDSA.public_key_pem(), SecretFault::NotPublicKey),
        (&rsa, &spki(&ED25519), SecretFault::NotPublicKey),
        (&ed25519, "00", SecretFault::NotPublicKey),
        (&ed25519, "no hex", SecretFault::NotHex),
        (&ed25519, &"00".repeat(31), SecretFault::NotPublicKey),
        (&ed25519, "whsk_AAAA", SecretFault::PrivateKey),
        (&ed25519, &ED25519.serialize_pem(), SecretFault::PrivateKey),
    ] {
        let fault = scheme
            .keyed_secret("K", text.as_bytes(), Validity::default())
            .err();
        assert_eq!(fault, Some(expected), "{:?} {text}", scheme.method);
    }
}

#[test]
fn a_secret_goes_to_the_schemes_that_it_is_for() {
    let names = |provider: &str, secret: &str| -> Vec<String> {
        let schemes = preset(provider).expect("a preset").schemes();
        let of = schemes_of(schemes, secret.as_bytes());
        of.into_iter()
            .map(|index| schemes[index].name.to_string())
            .collect()
    };
    for (secret, name) in [
        ("whsec_c2VjcmV0", "v1"),
        ("c2VjcmV0", "v1"),
        ("whpk_c2VjcmV0", "v1a"),
    ] {
        assert_eq!(names("standard-webhooks", secret), [name], "{secret}");
    }
    let signing = names("gitlab", "whsec_c2VjcmV0");
    let token = names("gitlab", "a token");
    assert_eq!((signing.len(), token.len()), (1, 1));
    assert_ne!(signing, token);
    assert_eq!(names("hubspot", "whsec_x"), ["v3", "v2", "v1"]);
}
