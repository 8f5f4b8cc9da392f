//! Signatures that are spelled out, and when secrets count.

use hookgate::{
    clock::Timestamp,
    config::{Config, Verifier, Verify, parse_schemes},
    signature::{
        Algorithm, Encoding, Form, Guard, Listed, Method, Part, SecretForm, Source, Test, Unit,
    },
};

use super::{parse, route, told, verified};

fn loaded(lines: &str) -> Config {
    parse(&verified(lines)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn verifier(config: &Config) -> &hookgate::config::SignatureVerifier {
    match &config.routes[0].verify {
        Verify::All(verifiers) => match &verifiers[..] {
            [Verifier::Signature(verifier)] => verifier,
            other => panic!("{other:?}"),
        },
        Verify::Nobody => panic!("nobody is verified"),
    }
}

#[test]
fn a_scheme_says_all_that_a_preset_can() {
    let text = r#"hmac = {
        header = ["X-New", "X-Old"], algorithm = "sha512", encoding = "base64", pairs = { separator = ";", key = "v1" },
        signed = "{method}\n{listed:names:sig.h: :x-time}\n{body}", timestamp = { sig = "t", unit = "ms" }, tolerance = "1m",
        future = "any", secret_form = { base64 = "key_", required = true },
        when = [{ header = "X-V", is = "1" }, { query = "q", present = true }, { json = "/a", starts_with = "b" }],
    }"#
    .replace('\n', " ");
    let schemes =
        parse_schemes(&text.replace(r#"\ "#, r#"\n"#)).unwrap_or_else(|faults| panic!("{faults}"));
    let [scheme] = &schemes[..] else {
        panic!("{schemes:?}")
    };
    assert_eq!(scheme.name, "hmac");
    assert_eq!(scheme.method, Method::Hmac(Algorithm::Sha512));
    assert_eq!(scheme.encoding, Encoding::Base64);
    let headers = vec!["x-new".into(), "x-old".into()];
    assert_eq!(scheme.signature, Source::Headers(headers.into()));
    let form = Form::Pairs {
        separator: ';',
        signature_key: "v1".into(),
    };
    assert_eq!(scheme.form, form);
    let listed = Part::Listed(Listed {
        list: Box::new(Part::Pair("h".into())),
        separator: ' ',
        with_names: true,
        required: vec!["x-time".into()].into(),
    });
    let line = || Part::Literal("\n".into());
    assert_eq!(
        *scheme.signed,
        [Part::Method, line(), listed, line(), Part::Body]
    );
    let rule = scheme.timestamp.as_ref().expect("a timestamp");
    assert_eq!(
        (&rule.source, rule.unit),
        (&Part::Pair("t".into()), Unit::Millis)
    );
    assert_eq!(rule.past.map(|past| past.as_secs()), Some(60));
    assert_eq!(rule.future, None);
    let form = SecretForm::Base64 {
        prefix: "key_".into(),
        required: true,
    };
    assert_eq!(scheme.secret_form, form);
    let guard = |place, test| Guard { place, test };
    assert_eq!(
        *scheme.guards,
        [
            guard(Part::Header("x-v".into()), Test::Is("1".into())),
            guard(Part::Query("q".into()), Test::Present),
            guard(Part::Json("/a".into()), Test::StartsWith("b".into())),
        ]
    );
}

#[test]
fn several_schemes_share_the_secrets_that_are_for_them() {
    let config = loaded(
        r#"secrets = [{ env = "SECRET" }, { value = "whsec_c2VjcmV0IHNlY3JldA==" }]
first_of = [
  { name = "v2", hmac = { header = "X-2", algorithm = "sha256", encoding = "hex", secret_form = { base64 = "whsec_", required = true } } },
  { name = "v1", hash = { header = "X-1", algorithm = "sha1", encoding = "hex", signed = "{secret}{body}" } },
  { name = "v0", ed25519 = { header = "X-0", encoding = "hex", secret_form = { base64 = "whpk_", required = true } } },
]"#,
    );
    let told: Vec<_> = verifier(&config)
        .schemes
        .iter()
        .map(|keyed| {
            let names: Vec<_> = keyed.secrets.iter().map(|secret| &*secret.name).collect();
            (&*keyed.scheme.name, names)
        })
        .collect();
    assert_eq!(told, [("v2", vec!["secrets[1]"]), ("v1", vec!["SECRET"])]);
}

#[test]
fn a_certificate_needs_no_secrets() {
    let config = loaded(
        r#"rsa = { header = "X-S", algorithm = "sha256", encoding = "base64", certificate = { url = "{header:X-C}", hosts = ["*.example.com"] } }"#,
    );
    let [keyed] = &verifier(&config).schemes[..] else {
        panic!("one scheme")
    };
    assert!(keyed.secrets.is_empty());
    for hosts in [
        r#"["*"]"#,
        r#"["*.com"]"#,
        r#"["a.*.com"]"#,
        r#"["A.example.com"]"#,
        "[]",
    ] {
        let faults = told(&verified(&format!(
            r#"rsa = {{ header = "X-S", algorithm = "sha256", encoding = "base64", certificate = {{ url = "{{header:X-C}}", hosts = {hosts} }} }}"#
        )));
        let told = faults
            .iter()
            .any(|fault| fault.contains("certificate.hosts"));
        assert!(told, "{hosts}: {faults:?}");
    }
}

#[test]
fn a_secret_and_a_key_may_begin_and_end() {
    let config = loaded(
        r#"hmac = { header = "X-S", algorithm = "sha256", encoding = "hex" }
secrets = [{ env = "SECRET", not_before = 2026-01-01T00:00:00Z, not_after = 2026-12-31T00:00:00Z }]"#,
    );
    let validity = verifier(&config).schemes[0].secrets[0].validity;
    let at = |text: &str| {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    };
    assert_eq!(validity.not_before, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(validity.not_after, Some(at("2026-12-31T00:00:00Z")));

    let digest = "11".repeat(32);
    let config = loaded(&format!(
        r#"bearer = {{}}
keys = [{{ name = "a", sha256 = "{digest}", not_before = 2026-01-01T00:00:00Z }}]"#
    ));
    let Verify::All(verifiers) = &config.routes[0].verify else {
        panic!("a verifier")
    };
    let [Verifier::Bearer { keys }] = &verifiers[..] else {
        panic!("{verifiers:?}")
    };
    assert_eq!(
        keys[0].validity.not_before,
        Some(at("2026-01-01T00:00:00Z"))
    );
    assert_eq!(keys[0].validity.not_after, None);

    let faults = told(&route(
        r#"provider = "github"
secrets = [{ env = "SECRET", not_before = 2026-12-31T00:00:00Z, not_after = 2026-01-01T00:00:00Z }]"#,
    ));
    assert_eq!(
        faults,
        [
            "routes.toml:3:77: routes.a.secrets[0].not_after: found an end before `not_before`, expected a later moment, or no `not_before`"
        ]
    );
}

#[test]
fn a_public_key_is_no_secret_of_an_hmac() {
    let faults = told(&route(
        r#"provider = "github"
secrets = [{ value = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=" }]"#,
    ));
    let [fault] = &faults[..] else {
        panic!("{faults:?}")
    };
    assert!(fault.ends_with(
        "found a secret that does not fit (a public key, which anyone may know, proves nothing where a secret is shared), expected the secret that both sides know"
    ), "{fault}");
    assert!(!fault.contains("A6EHv"), "{fault}");
}

#[test]
fn each_of_paired_headers_has_one_secret() {
    let faults = told(&verified(
        r#"hmac = { paired_headers = ["X-1", "X-2"], algorithm = "sha256", encoding = "hex" }
secrets = [{ env = "SECRET" }, { env = "SECRET" }, { env = "SECRET" }]"#,
    ));
    assert_eq!(
        faults,
        [
            "routes.toml:8:11: routes.a.verify.secrets: found 3 secrets for 2 headers, expected one secret for each header, in their order"
        ]
    );
}
