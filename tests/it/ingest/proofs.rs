//! Who is let in: every way to fail a proof looks the same from outside, and is told to the operator.

use hookgate::clock::Timestamp;

use serde_json::{Value, json};

use crate::support::{
    client::Reply,
    sign,
    tokens::{ED25519, Signer},
};

use super::{
    KEY, KEY_EXPIRED, gateway,
    requests::{self as make, Sent, good, secret},
    table::{Row, assert_covers, refuse_all},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_tells_which_check_failed() {
    let gateway = gateway().await;
    let rows = rows(gateway.began);
    assert_covers(&rows, &[401]);
    let series_before = gateway.metrics().await;
    let replies = refuse_all(&gateway, &rows).await;
    assert!(replies.len() > 30);
    let first = shape(&replies[0]);
    for (row, reply) in rows.iter().zip(&replies) {
        assert_eq!(shape(reply), first, "{}", row.what);
    }
    let series = gateway.metrics().await;
    assert_eq!(
        series.series(),
        series_before.series(),
        "a label from a request"
    );
    gateway.finish().await;
}

/// All of an answer but what differs from request to request.
fn shape(reply: &Reply) -> (http::StatusCode, Vec<(String, String)>, bytes::Bytes) {
    let own = ["x-request-id", "date"];
    let headers = reply.headers.iter();
    let headers = headers
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    (reply.status, headers, reply.body.clone())
}

fn rows(now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add: Box<Add<'_>> = Box::new(|route, reason, what, bend| {
        let id = format!("proof-{}", rows.len());
        let request = bend(good(route, &id, now), &id);
        rows.push(Row {
            what,
            route,
            reason,
            request,
            id,
        });
    });
    timestamps(&mut *add, now);
    let mut row: Box<AddBent<'_>> = Box::new(|route, reason, what, bend| {
        add(route, reason, what, &|request, _| bend(request));
    });
    keys(&mut *row);
    tokens(&mut *row, now);
    signatures(&mut *row);
    lists(&mut *row, now);
    drop(row);
    drop(add);
    rows
}

/// Adds a row: route, reason, what it is, and what becomes of a good request with this id.
type Add<'a> =
    dyn FnMut(&'static str, &'static str, &'static str, &dyn Fn(Sent, &str) -> Sent) + 'a;
/// The same, where the id does not matter.
type AddBent<'a> = dyn FnMut(&'static str, &'static str, &'static str, &dyn Fn(Sent) -> Sent) + 'a;

fn keys(row: &mut AddBent<'_>) {
    let (none, unknown) = ("missing_credentials", "unknown_key");
    row("key", none, "no key", &|r| r.without("X-Api-Key"));
    row("key", none, "an empty key", &|r| r.instead("X-Api-Key", ""));
    row("key", unknown, "a wrong key", &|r| {
        r.instead("X-Api-Key", "wrong")
    });
    row("key", unknown, "a key cut short", &|r| {
        r.instead("X-Api-Key", &KEY[..KEY.len() - 1])
    });
    row("key", unknown, "the digest of a key", &|r| {
        r.instead("X-Api-Key", sign::sha256_hex(KEY))
    });
    row("key", "expired_key", "an expired key", &|r| {
        r.instead("X-Api-Key", KEY_EXPIRED)
    });
    row("key", "repeated_header", "two keys, one good", &|r| {
        r.with("X-Api-Key", "wrong")
    });
    let auth = "Authorization";
    row("bearer", none, "no token", &|r| r.without(auth));
    row("bearer", none, "another scheme", &|r| {
        r.instead(auth, sign::basic("hook", KEY))
    });
    row("bearer", unknown, "a wrong token", &|r| {
        r.instead(auth, "Bearer wrong")
    });
    row("bearer", "expired_key", "an expired token", &|r| {
        r.instead(auth, format!("Bearer {KEY_EXPIRED}"))
    });
    row("bearer", "repeated_header", "two tokens, both good", &|r| {
        r.with(auth, format!("Bearer {KEY}"))
    });
    row("basic", none, "no pair", &|r| r.without(auth));
    row("basic", unknown, "a wrong password", &|r| {
        r.instead(auth, sign::basic("hook", "wrong"))
    });
    row("basic", unknown, "a pair that is no base64", &|r| {
        r.instead(auth, "Basic %%%")
    });
    row("both", none, "a signature without its key", &|r| {
        r.without("X-Api-Key")
    });
    row(
        "both",
        "missing_signature",
        "a key without its signature",
        &|r| r.without("X-Signature"),
    );
    row(
        "both",
        "signature_mismatch",
        "a key with another's signature",
        &|r| r.instead("X-Signature", "00".repeat(32)),
    );
}

fn tokens(row: &mut AddBent<'_>, now: Timestamp) {
    let auth = "Authorization";
    let (none, invalid, stale) = ("missing_credentials", "invalid_token", "stale_timestamp");
    let bearer = |signer: &Signer<'_>, header: &Value, claims: &Value| {
        format!("Bearer {}", signer.token_with(header, claims))
    };
    let secret_text = secret("CUSTOM_SECRET");
    let own = Signer::Hs256(secret_text.as_bytes());
    let hs256 = json!({ "alg": "HS256" });
    let changed = |name: &str, value: Value| {
        let mut claims = make::claims(now);
        claims[name] = value;
        bearer(&own, &hs256, &claims)
    };
    let ended = secret("GITHUB_SECRET");
    let seconds = now.as_secs();
    let good = make::claims(now);
    let wrong: [(&'static str, &'static str, String); 12] = [
        (none, "another scheme", sign::basic("hook", "x")),
        (none, "no token after the scheme", "Bearer ".to_owned()),
        (invalid, "no token but a word", "Bearer word".to_owned()),
        (
            invalid,
            "a token that is too long",
            format!("Bearer {}", "x".repeat(17_000)),
        ),
        (
            invalid,
            "a token that is not signed",
            bearer(&own, &json!({ "alg": "none" }), &good),
        ),
        (
            invalid,
            "a token by a public key",
            bearer(&Signer::EdDsa(&ED25519), &json!({ "alg": "EdDSA" }), &good),
        ),
        (
            invalid,
            "a token by another secret",
            bearer(&Signer::Hs256(b"another"), &hs256, &good),
        ),
        (
            invalid,
            "a token of another issuer",
            changed("iss", json!("x")),
        ),
        (
            invalid,
            "a token for another audience",
            changed("aud", json!(["x"])),
        ),
        (
            stale,
            "a token that has expired",
            changed("exp", json!(seconds - 60)),
        ),
        (
            stale,
            "a token that is not in force yet",
            changed("nbf", json!(seconds + 61)),
        ),
        (
            "expired_key",
            "a token by a secret that has ended",
            bearer(&Signer::Hs256(ended.as_bytes()), &hs256, &good),
        ),
    ];
    row("token", none, "nothing instead of a token", &|r| {
        r.without(auth)
    });
    for (reason, what, value) in wrong {
        row("token", reason, what, &|r| r.instead(auth, value.clone()));
    }
    row(
        "token",
        "repeated_header",
        "two tokens of two, one good",
        &|r| r.with(auth, changed("aud", json!("hooks"))),
    );
}

fn signatures(row: &mut AddBent<'_>) {
    let header = "X-Hub-Signature-256";
    row("github", "missing_signature", "no signature", &|r| {
        r.without(header)
    });
    row("github", "malformed_signature", "no prefix", &|r| {
        r.instead(header, "ab".repeat(32))
    });
    row("github", "malformed_signature", "no hex", &|r| {
        r.instead(header, format!("sha256={}", "zz".repeat(32)))
    });
    row(
        "github",
        "malformed_signature",
        "an empty signature",
        &|r| r.instead(header, "sha256="),
    );
    row(
        "github",
        "signature_mismatch",
        "the right length, but wrong",
        &|r| r.instead(header, format!("sha256={}", "ab".repeat(32))),
    );
    row("github", "signature_mismatch", "another's secret", &|r| {
        let signature = sign::github("another-secret-of-theirs", &r.body);
        r.instead(header, signature)
    });
    row(
        "github",
        "signature_mismatch",
        "a body changed by one space",
        &|r| r.body("{ }"),
    );
    row("github", "signature_mismatch", "a body cut short", &|r| {
        r.body("{")
    });
    row("github", "expired_key", "the secret of before", &|r| {
        let signature = sign::github(&secret("GITHUB_SECRET_OLD"), &r.body);
        r.instead(header, signature)
    });
    row(
        "github",
        "repeated_header",
        "two signatures, both good",
        &|r| {
            let signature = sign::github(&secret("GITHUB_SECRET"), &r.body);
            r.with(header, signature)
        },
    );
    row(
        "github",
        "repeated_header",
        "two signatures, one good",
        &|r| r.with(header, "sha256=00"),
    );
    row(
        "github",
        "missing_signature",
        "only the weaker, older header",
        &|r| {
            r.without(header)
                .with("X-Hub-Signature", format!("sha1={}", "ab".repeat(20)))
        },
    );
    let header = "X-Shopify-Hmac-Sha256";
    row("shopify", "missing_signature", "no signature", &|r| {
        r.without(header)
    });
    row("shopify", "malformed_signature", "no base64", &|r| {
        r.instead(header, "%%%")
    });
    row("shopify", "signature_mismatch", "another's secret", &|r| {
        let signature = sign::shopify("another-secret-of-theirs", &r.body);
        r.instead(header, signature)
    });
}

/// Schemes whose header lists several signatures.
fn lists(row: &mut AddBent<'_>, now: Timestamp) {
    let header = "Stripe-Signature";
    let at = now.as_secs().to_string();
    let zeros = "00".repeat(32);
    row("stripe", "missing_signature", "no signature", &|r| {
        r.without(header)
    });
    row(
        "stripe",
        "malformed_signature",
        "no signature in the list",
        &|r| r.instead(header, format!("t={at}")),
    );
    row(
        "stripe",
        "malformed_signature",
        "only the old scheme",
        &|r| {
            let good = sign::stripe(&secret("STRIPE_SECRET"), &at, &r.body);
            r.instead(header, good.replace("v1=", "v0="))
        },
    );
    row("stripe", "missing_timestamp", "no time in the list", &|r| {
        r.instead(header, format!("v1={zeros}"))
    });
    row(
        "stripe",
        "signature_mismatch",
        "two in the list, both wrong",
        &|r| r.instead(header, format!("t={at},v1={zeros},v1={zeros}")),
    );
    let header = "webhook-signature";
    row("tickets", "missing_signature", "no signature", &|r| {
        r.without(header)
    });
    row(
        "tickets",
        "missing_signature",
        "no id, which is signed",
        &|r| r.without("webhook-id"),
    );
    row("tickets", "missing_timestamp", "no time", &|r| {
        r.without("webhook-timestamp")
    });
    row(
        "tickets",
        "malformed_signature",
        "an unknown version only",
        &|r| r.instead(header, "v9,AAAA"),
    );
    row(
        "tickets",
        "signature_mismatch",
        "another id than was signed",
        &|r| r.instead("webhook-id", "another"),
    );
}

fn timestamps(row: &mut Add<'_>, now: Timestamp) {
    let stale = "stale_timestamp";
    let header = "X-Slack-Request-Timestamp";
    row("slack", "missing_timestamp", "no time", &|r, _| {
        r.without(header)
    });
    row("slack", "repeated_header", "two times", &|r, _| {
        r.with(header, now.as_secs().to_string())
    });
    let times = [
        ("301 seconds ago", (now.as_secs() - 301).to_string()),
        ("301 seconds ahead", (now.as_secs() + 301).to_string()),
        ("the year 0", "0".to_owned()),
        ("negative", "-1".to_owned()),
        ("more than an integer holds", "9".repeat(40)),
        ("the largest integer", i64::MAX.to_string()),
        ("a fraction", format!("{}.5", now.as_secs())),
        ("no number", "yesterday".to_owned()),
        ("in milliseconds", now.as_millis().to_string()),
    ];
    for &(what, ref at) in &times {
        row("slack", stale, what, &|_, id| make::slack(id, at));
        row("custom", stale, what, &|_, id| make::custom(id, at));
        row("tickets", stale, what, &|_, id| make::tickets(id, at));
    }
    let old = Timestamp::from_secs(now.as_secs() - 301);
    row("stripe", stale, "301 seconds ago", &|_, id| {
        make::stripe(id, old)
    });
}
