//! What is likely to be wrong.

use super::*;

/// Route, capture, environment; the cause's code, and what its words hold.
type Row<'r> = (&'r str, Vec<u8>, &'r [(&'r str, &'r str)], &'r str, &'r str);

#[test]
fn each_cause_is_found() {
    let at = AT.to_string();
    let with = |body: &str| github(SECRET, body.as_bytes());
    let hub = "X-Hub-Signature-256";
    let ids = [("X-GitHub-Delivery", "1"), ("X-GitHub-Event", "push")];
    let from_github = |signature: &str, body: &str| {
        let mut headers = ids.to_vec();
        headers.push((hub, signature));
        http("github", &headers, body)
    };
    let compact = r#"{"id":"canary-body-1","name":"Zoë/<b>","type":"t","z":[1,{"a":null}]}"#;
    let ascii = BODY.replace('ë', "\\u00eb");
    let indented = "{\n  \"id\": \"canary-body-1\",\n  \"name\": \"Zoë/<b>\",\n  \"type\": \"t\",\n  \"z\": [\n    1,\n    {\n      \"a\": null\n    }\n  ]\n}";
    let sorted = r#"{"b": 1, "a": 2}"#;
    let base64_key = BASE64_STANDARD.encode("canary-bytes-of-a-key-0123456789");
    let hex_key = hex::encode("canary-bytes-of-a-key-0123456789");
    let by_bytes = format!(
        "sha256={}",
        hex::encode(hmac_sha256(
            b"canary-bytes-of-a-key-0123456789",
            &[BODY.as_bytes()]
        ))
    );
    let padded = format!(" {SECRET} ");
    let whsec = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    let standard = |signature: &str| {
        http(
            "standard",
            &[
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", &at),
                ("webhook-signature", signature),
            ],
            BODY,
        )
    };
    let as_text = hmac_sha256(
        whsec.as_bytes(),
        &[b"msg_1.", at.as_bytes(), b".", BODY.as_bytes()],
    );
    let square = |url: &str| {
        let signature = hmac_sha256(SECRET.as_bytes(), &[url.as_bytes(), BODY.as_bytes()]);
        let signature = BASE64_STANDARD.encode(signature);
        http(
            "square",
            &[("x-square-hmacsha256-signature", &signature)],
            BODY,
        )
    };
    let old = (AT - 400).to_string();
    let ahead = (AT + 4000).to_string();
    let hex_for_base64 = hex::encode(hmac_sha256(SECRET.as_bytes(), &[BODY.as_bytes()]));
    let svix = standard_webhooks(&whsec, "msg_1", &at, BODY.as_bytes());
    let none: &[(&str, &str)] = &[];
    let with_space = [("SECRET", padded.as_str())];
    let in_base64 = [("SECRET", base64_key.as_str())];
    let in_hex = [("SECRET", hex_key.as_str())];
    let rows: Vec<Row<'_>> = vec![
        (
            "github",
            from_github(&with(compact), BODY),
            none,
            "body_changed",
            "compact JSON",
        ),
        (
            "github",
            from_github(&with(BODY), compact),
            none,
            "body_changed",
            "as Python writes it",
        ),
        (
            "github",
            from_github(&with(indented), BODY),
            none,
            "body_changed",
            "indented by 2 spaces",
        ),
        (
            "github",
            from_github(&with(&indented.replace("  ", "    ")), BODY),
            none,
            "body_changed",
            "indented by 4 spaces",
        ),
        (
            "github",
            from_github(&with(&ascii), BODY),
            none,
            "body_changed",
            "as \\u escapes",
        ),
        (
            "github",
            from_github(&with(BODY), &ascii),
            none,
            "body_changed",
            "as the letters themselves",
        ),
        (
            "github",
            from_github(&with(r#"{"a":2,"b":1}"#), sorted),
            none,
            "body_changed",
            "sorted keys",
        ),
        (
            "github",
            from_github(&with(&format!("{BODY}\n")), BODY),
            none,
            "body_changed",
            "with a line end after it",
        ),
        (
            "github",
            from_github(&with(BODY), &format!("{BODY}\n")),
            none,
            "body_changed",
            "without the line end",
        ),
        (
            "github",
            from_github(&with("{\r\n\"a\":1}"), "{\n\"a\":1}"),
            none,
            "body_changed",
            "CRLF instead of LF",
        ),
        (
            "github",
            from_github(&with("{\n\"a\":1}"), "{\r\n\"a\":1}"),
            none,
            "body_changed",
            "LF instead of CRLF",
        ),
        (
            "github",
            from_github(&with(BODY), BODY),
            &with_space,
            "secret_whitespace",
            "SECRET without the space around it",
        ),
        (
            "github",
            from_github(&github(&format!("{SECRET}\n"), BODY.as_bytes()), BODY),
            none,
            "secret_whitespace",
            "with a line end after it",
        ),
        (
            "github",
            from_github(&by_bytes, BODY),
            &in_base64,
            "secret_form",
            "decoded from base64",
        ),
        (
            "github",
            from_github(&by_bytes, BODY),
            &in_hex,
            "secret_form",
            "decoded from hex",
        ),
        (
            "github",
            from_github(&github(OLD, BODY.as_bytes()), BODY),
            none,
            "expired_secret",
            "right under the secret OLD",
        ),
        (
            "github",
            from_github(
                &format!("sha256={}", shopify(SECRET, BODY.as_bytes())),
                BODY,
            ),
            none,
            "other_encoding",
            "base64 instead of hex",
        ),
        (
            "github",
            http(
                "github",
                &[ids[0], ids[1], (hub, &with(BODY)), (hub, &with(BODY))],
                BODY,
            ),
            none,
            "repeated_header",
            "x-hub-signature-256",
        ),
        (
            "github",
            http(
                "github",
                &[("X-Shopify-Hmac-Sha256", &shopify(SECRET, BODY.as_bytes()))],
                BODY,
            ),
            none,
            "other_provider",
            "shopify",
        ),
        (
            "github",
            http("github", &ids, BODY),
            none,
            "no_signature",
            "carries no signature",
        ),
        (
            "github",
            http("github", &[("Stripe-Signature", "t=1,v1=00")], BODY),
            none,
            "no_signature",
            "header of stripe instead",
        ),
        (
            "github",
            from_github(&github(" another-secret ", BODY.as_bytes()), BODY),
            none,
            "wrong_secret",
            "another than the sender's",
        ),
        (
            "github",
            from_github(&github(&format!("{SECRET}\n"), compact.as_bytes()), BODY),
            none,
            "body_and_secret",
            "two things are wrong",
        ),
        (
            "shopify",
            http(
                "shopify",
                &[("X-Shopify-Hmac-Sha256", &hex_for_base64)],
                BODY,
            ),
            none,
            "other_encoding",
            "hex instead of base64",
        ),
        (
            "stripe",
            http(
                "stripe",
                &[("Stripe-Signature", &stripe(SECRET, &old, BODY.as_bytes()))],
                BODY,
            ),
            none,
            "clock_off",
            "400 s before it was received",
        ),
        (
            "standard",
            standard(&format!("v1,{}", BASE64_STANDARD.encode(as_text))),
            none,
            "secret_form",
            "taken as text, whole",
        ),
        (
            "standard",
            http(
                "standard",
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", &ahead),
                    (
                        "webhook-signature",
                        &standard_webhooks(&whsec, "msg_1", &ahead, BODY.as_bytes()),
                    ),
                ],
                BODY,
            ),
            none,
            "clock_off",
            "4000 s after it was received",
        ),
        (
            "standard",
            http(
                "standard",
                &[
                    ("svix-id", "msg_1"),
                    ("svix-timestamp", &at),
                    ("svix-signature", &svix),
                ],
                BODY,
            ),
            none,
            "other_provider",
            "svix",
        ),
        (
            "square",
            square("http://hooks.example.com/hooks/square"),
            none,
            "other_address",
            "of the address http://hooks.example.com/hooks/square",
        ),
        (
            "square",
            square("https://hooks.example.com:443/hooks/square"),
            none,
            "other_address",
            ":443/hooks/square",
        ),
        (
            "square",
            square("https://hooks.example.com/hooks/square/"),
            none,
            "other_address",
            "/hooks/square/, the configuration says",
        ),
        (
            "crm",
            http("crm", &[("Authorization", "Bearer canary-key-1")], BODY),
            none,
            "other_place",
            "stands in the header authorization",
        ),
        (
            "link",
            http("link", &[("X-Api-Key", "canary-key-1")], BODY),
            none,
            "other_place",
            "it belongs into the parameter key of the query string",
        ),
        (
            "netlify",
            by_token(BODY, compact),
            none,
            "body_changed",
            "of the body as JSON with a space",
        ),
        (
            "netlify",
            by_token(BODY, BODY),
            &with_space,
            "secret_whitespace",
            "without the space around it",
        ),
        (
            "netlify",
            http("netlify", &[("X-Webhook-Signature", "a.b")], BODY),
            none,
            "token",
            "not a JWS",
        ),
        (
            "netlify",
            by_token(BODY, BODY),
            &[("SECRET", "canary-another-secret-0123456789")],
            "wrong_secret",
            "another than the sender's",
        ),
        (
            "crm",
            http("crm", &[("X-Api-Key", "canary-key-2")], BODY),
            none,
            "wrong_secret",
            "the sender has another",
        ),
    ];
    assert!(rows.len() > 25);
    let mut complaints = Vec::new();
    for (route, capture, environment, code, words) in &rows {
        let explained = explain(route, capture, environment, &[]);
        let causes = explained.causes();
        let is_found = causes
            .iter()
            .any(|(found, told)| found == code && told.contains(words));
        if explained.code != Some(1) || !is_found || explained.all.contains("canary") {
            complaints.push(format!(
                "{route}, {code}, {words}: {:?} {}",
                explained.code, explained.all
            ));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
