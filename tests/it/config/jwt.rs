//! `jwt = { … }`: what it yields, and what is said of what it cannot be.

use std::time::Duration;

use hookgate::{
    config::{JwtKeySource, Verifier, Verify},
    signature::jwt::{Audience, JwtAlgorithm, JwtRule},
};

use super::{check, parse, route};

const ISSUED: &str = r#"issuer = "https://issuer.example", audience = "hooks""#;

fn read(verify: &str) -> (JwtRule, JwtKeySource) {
    let text = route(&format!(
        "public_url = \"https://hooks.example/a\"\nverify = {verify}"
    ));
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let Some(route) = std::sync::Arc::into_inner(config.routes.into_iter().next().unwrap()) else {
        panic!("a route that nobody shares");
    };
    let Verify::All(mut verifiers) = route.verify else {
        panic!("a route for anyone");
    };
    match verifiers.pop() {
        Some(Verifier::Jwt(verifier)) => (verifier.rule, verifier.keys),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_is_what_most_issuers_do() {
    let url = "https://issuer.example/jwks";
    let (rule, keys) = read(&format!("{{ jwt = {{ jwks_url = \"{url}\", {ISSUED} }} }}"));
    let expected = JwtRule {
        header: "authorization".into(),
        prefix: "Bearer ".into(),
        algorithms: vec![JwtAlgorithm::Rs256].into(),
        issuers: vec!["https://issuer.example".into()].into(),
        audience: Audience::These(vec!["hooks".into()].into()),
        expires: true,
        max_age: None,
        leeway: Duration::from_secs(60),
        body_sha256: None,
        claims: Vec::new().into(),
    };
    assert_eq!(rule, expected);
    match keys {
        JwtKeySource::Url {
            url: found,
            allow_private: false,
        } => assert_eq!(found.as_str(), url),
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_can_be_said() {
    let (rule, keys) = read(
        r#"{ jwt = { jwks_url = "http://127.0.0.1:8080/keys", allow_private = true, issuer = ["a", "b"], audience = ["c"], algorithms = ["EdDSA", "PS256"], expires = false, leeway = "5s", max_age = "2m", header = "X-Token", prefix = "T=", body_sha256 = "digest", claims = { azp = "crm", email_verified = true } } }"#,
    );
    let expected = JwtRule {
        header: "x-token".into(),
        prefix: "T=".into(),
        algorithms: vec![JwtAlgorithm::EdDsa, JwtAlgorithm::Ps256].into(),
        issuers: vec!["a".into(), "b".into()].into(),
        audience: Audience::These(vec!["c".into()].into()),
        expires: false,
        max_age: Some(Duration::from_secs(120)),
        leeway: Duration::from_secs(5),
        body_sha256: Some("digest".into()),
        claims: vec![
            ("azp".into(), "crm".into()),
            ("email_verified".into(), "true".into()),
        ]
        .into(),
    };
    assert_eq!(rule, expected);
    assert!(matches!(
        keys,
        JwtKeySource::Url {
            allow_private: true,
            ..
        }
    ));
}

#[test]
fn secrets_are_for_hs256_and_a_file_for_public_keys() {
    let (rule, keys) = read(
        r#"{ jwt = { header = "X-Token", issuer = false, audience = false, leeway = "0s" }, secrets = [{ env = "SECRET" }] }"#,
    );
    assert_eq!(rule.algorithms, [JwtAlgorithm::Hs256].as_slice());
    assert_eq!((&*rule.prefix, rule.audience), ("", Audience::Anyone));
    assert!(rule.issuers.is_empty() && rule.leeway.is_zero());
    let JwtKeySource::Secrets(secrets) = keys else {
        panic!("{keys:?}");
    };
    assert_eq!(&*secrets[0].name, "SECRET");
    assert_eq!(secrets[0].secret.expose(), b"canary-canary");

    let (rule, keys) =
        read(r#"{ jwt = { jwks_file = "jwks.json", issuer = "i", algorithms = ["ES256"] } }"#);
    assert_eq!(rule.audience, Audience::PublicUrl);
    assert!(matches!(keys, JwtKeySource::File(_)));
}

#[test]
fn faults() {
    check(
        route,
        &[
            (
                r#"verify = { jwt = {} }"#,
                &[
                    "routes.toml:2:18: routes.a.verify.jwt.jwks_url: missing, expected `jwks_url`, `jwks_file`, or `secrets` beside `jwt` (HS256)",
                ],
            ),
            (
                r#"verify = { jwt = { jwks_url = "https://i.example/", audience = "a" } }"#,
                &[
                    "routes.toml:2:18: routes.a.verify.jwt.issuer: missing, expected a string, a list of strings, or false for any",
                ],
            ),
            (
                r#"verify = { jwt = { jwks_url = "https://i.example/", issuer = "i" } }"#,
                &[
                    r#"routes.toml:1:1: routes.a.public_url: missing, expected the address that the provider calls and signs, such as "https://hooks.example.com/hooks/crm", or `public_url` in [server]"#,
                ],
            ),
            (
                r#"verify = { jwt = { jwks_url = "http://i.example/", issuer = "i", audience = "a" } }"#,
                &[
                    r#"routes.toml:2:31: routes.a.verify.jwt.jwks_url: found a string, expected an https URL without credentials, such as "https://issuer.example.com/.well-known/jwks.json" (http only on a loopback address)"#,
                ],
            ),
            (
                r#"verify = { jwt = { issuer = "i", audience = "a", algorithms = ["RS256"] }, secrets = [{ env = "SECRET" }] }"#,
                &[
                    r#"routes.toml:2:64: routes.a.verify.jwt.algorithms[0]: found "RS256", expected "HS256""#,
                ],
            ),
            (
                r#"verify = { jwt = { issuer = "i", audience = "a" }, secrets = [{ env = "SECRET" }, { file = "public.pem" }] }"#,
                &[
                    "routes.toml:2:83: routes.a.verify.secrets[1]: found a secret that does not fit (a public key, which anyone may know, proves nothing where a secret is shared), expected the secret that both sides know",
                ],
            ),
            (
                r#"verify = { jwt = { jwks_url = "https://i.example/", issuer = "i", audience = "a", algorithms = ["HS256", "none"] } }"#,
                &[
                    r#"routes.toml:2:97: routes.a.verify.jwt.algorithms[0]: found "HS256", expected "RS256", "PS256", "ES256" or "EdDSA""#,
                    r#"routes.toml:2:106: routes.a.verify.jwt.algorithms[1]: found "none", expected "RS256", "PS256", "ES256" or "EdDSA""#,
                ],
            ),
            (
                r#"verify = { jwt = { jwks_url = "https://i.example/", issuer = "i", audience = [], algorithms = [] }, secrets = [{ env = "SECRET" }] }"#,
                &[
                    "routes.toml:2:18: routes.a.verify.jwt: found several of `jwks_url`, `jwks_file` and `secrets`, expected one of `jwks_url`, `jwks_file`, or `secrets` beside `jwt` (HS256)",
                    "routes.toml:2:78: routes.a.verify.jwt.audience: found an empty list, expected a string, a list of strings, or false for any",
                    "routes.toml:2:95: routes.a.verify.jwt.algorithms: found no algorithm, expected at least one; what is not named is refused",
                ],
            ),
            (
                r#"verify = { jwt = { jwks_file = "missing.json", issuer = "i", audience = "a", leeway = "11m", claims = { iss = "x", azp = 7 } } }"#,
                &[
                    r#"routes.toml:2:32: routes.a.verify.jwt.jwks_file: found "missing.json": No such file or directory (os error 2), expected a file with a JWKS: {"keys": [ … ]}, public keys only"#,
                    r#"routes.toml:2:87: routes.a.verify.jwt.leeway: found "11m", expected a duration from 0s to 10m"#,
                    r#"routes.toml:2:105: routes.a.verify.jwt.claims.iss: found the claim "iss", expected a key of `jwt` beside `claims` for it"#,
                    r#"routes.toml:2:122: routes.a.verify.jwt.claims.azp: found 7, expected a string, true or false"#,
                ],
            ),
            (
                r#"verify = { jwt = { jwks_file = "symmetric.json", issuer = "i", audience = "a", allow_private = true } }"#,
                &[
                    r#"routes.toml:2:32: routes.a.verify.jwt.jwks_file: found "symmetric.json": no key that is of use: a secret (`oct`) has no place among public keys, expected a file with a JWKS: {"keys": [ … ]}, public keys only"#,
                    "routes.toml:2:96: routes.a.verify.jwt.allow_private: found `allow_private` without `jwks_url`, expected it with the address that it is for",
                ],
            ),
            (
                r#"verify = { jwt = { jwks_file = "full.toml", issuer = "i", audience = "a" }, keys = [] }"#,
                &[
                    r#"routes.toml:2:32: routes.a.verify.jwt.jwks_file: found "full.toml": not JSON, expected a file with a JWKS: {"keys": [ … ]}, public keys only"#,
                    "routes.toml:2:84: routes.a.verify.keys: found a key that this verifier does not have, expected `keys` with api_key, bearer, basic and query_key; `secrets` with signatures, and with jwt for HS256; `params` where `signed` names some",
                ],
            ),
        ],
    );
}
