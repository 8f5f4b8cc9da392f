//! Faults of signatures that are spelled out: the exact lines that are told.

use super::{check, verified};

/// `verify` with one HMAC that is whole but for `keys`.
fn hmac(keys: &str) -> String {
    let base = r#"header = "X-S", algorithm = "sha256", encoding = "hex""#;
    verified(&format!(
        "hmac = {{ {base}, {keys} }}\nsecrets = [{{ env = \"SECRET\" }}]"
    ))
}

/// Places are those of the line that `hmac` writes.
const AT: &str = "routes.toml:7";

#[test]
fn keys_that_are_not_well_formed() {
    check_lines(&[
        (
            r#"json = "/s""#,
            &[
                "8: routes.a.verify.hmac: found several of `header`, `numbered_header`, `paired_headers`, `json` and `query`, expected the one place where the signature stands",
            ],
        ),
        (
            r#"pairs = {}"#,
            &["74: routes.a.verify.hmac.pairs.key: missing, expected the key of the signatures"],
        ),
        (
            r#"pairs = { separator = ", ", key = "v1" }"#,
            &[
                r#"88: routes.a.verify.hmac.pairs.separator: found ", ", expected one character of ASCII such as ",""#,
            ],
        ),
        (
            r#"prefix = "a", version = "v1""#,
            &[
                "8: routes.a.verify.hmac: found several of `prefix`, `pairs` and `version`, expected the one shape that the signature has",
            ],
        ),
        (
            r#"timestamp = { header = "X-T", sig = "t" }"#,
            &[
                "78: routes.a.verify.hmac.timestamp: found several of `header`, `sig`, `json` and `query`, expected one place",
            ],
        ),
        (
            r#"future = "1m""#,
            &[
                "75: routes.a.verify.hmac.future: found a future without `timestamp`, expected both or neither",
            ],
        ),
        (
            r#"secret_form = "raw""#,
            &[
                r#"80: routes.a.verify.hmac.secret_form: found "raw", expected "text", "hex", "spki", { base64 = "PREFIX" } or { base64_or_text = "PREFIX" }"#,
            ],
        ),
        (
            r#"secret_form = { required = true }"#,
            &[
                r#"80: routes.a.verify.hmac.secret_form: found none or several forms, or `required` without `base64`, expected "text", "hex", "spki", { base64 = "PREFIX" } or { base64_or_text = "PREFIX" }"#,
            ],
        ),
        (
            r#"when = [{ header = "X-V" }]"#,
            &[
                "74: routes.a.verify.hmac.when[0]: found no test, or several, expected one of `present = true`, `is`, `starts_with` and `contains`",
            ],
        ),
        (
            r#"when = [{ header = "X-V", present = false }]"#,
            &["102: routes.a.verify.hmac.when[0].present: found false, expected true"],
        ),
        (
            r#"each = "value""#,
            &[
                r#"73: routes.a.verify.hmac.each: found "value", expected a JSON pointer such as "/signature/timestamp""#,
            ],
        ),
        (
            r#"body_sha256 = "{query:a}{query:b}""#,
            &[
                r#"80: routes.a.verify.hmac.body_sha256: found "{query:a}{query:b}", expected one placeholder such as "{query:bodySHA256}""#,
            ],
        ),
    ]);
}

#[test]
fn schemes_that_prove_nothing() {
    check_lines(&[
        (
            r#"signed = "{header:X-T}""#,
            &[
                "8: routes.a.verify.hmac.signed: found a template that leaves out the body, expected a template with {body}: what is not signed can be forged; write allow_unsigned_body = true where the provider signs no more",
            ],
        ),
        (
            r#"signed = "{crc32}""#,
            &[
                "8: routes.a.verify.hmac.signed: found a template that leaves out the body, expected a template with {body}: what is not signed can be forged; write allow_unsigned_body = true where the provider signs no more",
            ],
        ),
        (
            r#"signed = "{secret}{body}""#,
            &[
                "8: routes.a.verify.hmac.signed: found {secret} where it is the key already, expected a template without {secret}, or `hash`",
            ],
        ),
        (
            r#"signed = "{sig.t}.{body}""#,
            &[
                r#"8: routes.a.verify.hmac.pairs: found {sig.…} in a signature without pairs, expected `pairs` such as { separator = ",", key = "v1" }"#,
            ],
        ),
        (
            r#"body_sha256 = "{query:hash}""#,
            &[
                "8: routes.a.verify.hmac.body_sha256: found a place that `signed` does not cover, expected a place that is part of `signed`, or of the {url} in it",
            ],
        ),
        (
            r#"each = "/value/*""#,
            &[
                "8: routes.a.verify.hmac.each: found elements whose signature stands outside of them, expected `each` with the signature at a `json` pointer within each element",
            ],
        ),
    ]);
}

fn check_lines(cases: &[(&str, &[&str])]) {
    for (keys, lines) in cases {
        let lines: Vec<String> = lines.iter().map(|line| format!("{AT}:{line}")).collect();
        assert_eq!(super::told(&hmac(keys)), lines, "\n{keys}");
    }
    assert!(!cases.is_empty());
}

#[test]
fn kinds_and_lists_of_them() {
    check(
        |lines| verified(&format!("secrets = [{{ env = \"SECRET\" }}]\n{lines}")),
        &[
            (
                "first_of = []",
                &[
                    r#"routes.toml:8:12: routes.a.verify.first_of: found an empty list, expected a list such as [{ name = "v2", hmac = { … } }, { name = "v1", hmac = { … } }]"#,
                ],
            ),
            (
                r#"first_of = [{ name = "v1", equal = { header = "X-A" } }, { name = "v1", equal = { header = "X-B" } }]"#,
                &[
                    r#"routes.toml:8:58: routes.a.verify.first_of[1]: found "v1" a second time, expected another name"#,
                ],
            ),
            (
                r#"first_of = [{ name = "v1" }]"#,
                &[
                    "routes.toml:8:13: routes.a.verify.first_of[0]: found none or several schemes, expected one of `hmac`, `hash`, `equal`, `ed25519`, `ecdsa_p256`, `rsa`",
                ],
            ),
            (
                r#"hash = { header = "X-A", algorithm = "sha256", encoding = "hex" }"#,
                &[
                    "routes.toml:8:8: routes.a.verify.hash.signed: found a hash without {secret}, expected a template with {secret}: without it anyone can make the hash",
                ],
            ),
            (
                r#"ed25519 = { header = "X-A", encoding = "hex", secret_form = "text" }"#,
                &[
                    "routes.toml:7:12: routes.a.verify.secrets[0]: found a secret that does not fit (no public key of this kind, as PEM, or as base64 of its SPKI in DER), expected the public key as it was given out",
                    r#"routes.toml:8:11: routes.a.verify.ed25519.secret_form: found text as a public key, expected "spki", "hex" or { base64 = "PREFIX" }"#,
                ],
            ),
            (
                r#"hmac = { header = "X-S", algorithm = "sha256", encoding = "hex", secret_form = "spki" }"#,
                &[
                    "routes.toml:7:12: routes.a.verify.secrets[0]: found a secret that does not fit (the secret is not base64), expected the secret as it was given out",
                    r#"routes.toml:8:8: routes.a.verify.hmac.secret_form: found a public key, which anyone may know, expected "text", "hex" or base64: a secret that both sides know"#,
                ],
            ),
            (
                r#"hmac = { header = "X-S", algorithm = "sha256", encoding = "hex", certificate = { url = "{header:X-C}", hosts = ["a.example"] } }"#,
                &[
                    "routes.toml:7:11: routes.a.verify.secrets: found a key that this verifier does not have, expected `keys` with api_key, bearer, basic and query_key; `secrets` with signatures, and with jwt for HS256; `params` where `signed` names some",
                    "routes.toml:8:8: routes.a.verify.hmac.certificate: found a certificate where a secret is shared, expected ed25519, ecdsa_p256 or rsa",
                ],
            ),
            (
                r#"hmac = { query = "s", algorithm = "sha256", encoding = "hex", signed = "{url}{body}" }"#,
                &[
                    r#"routes.toml:1:1: routes.a.public_url: missing, expected the address that the provider calls and signs, such as "https://hooks.example.com/hooks/crm", or `public_url` in [server]"#,
                    "routes.toml:8:8: routes.a.verify.hmac.signed: found a template that covers the place of the signature, expected a template of what stands elsewhere",
                ],
            ),
        ],
    );
}
