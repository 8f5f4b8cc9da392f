//! What loads with a warning.

use std::fs;

use hookgate::{
    clock::{Clock, Timestamp},
    config::{Config, Role},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::{environment, file, parse, warnings};
use crate::support::gateway::temporary;

/// A route and a target with which there is nothing wrong, and `lines` in the route.
fn route(lines: &str) -> String {
    format!(
        "[routes.a]\npath = \"/a\"\ndeliver = [\"crm\"]\n{lines}\n[targets.crm]\nurl = \"https://crm.example.com\"\n"
    )
}

fn told(text: &str) -> Vec<String> {
    warnings(&parse(text).unwrap_or_else(|faults| panic!("{faults}\n{text}")))
}

#[track_caller]
fn one(text: &str, place: &str, words: &str) {
    let told = told(text);
    let [warning] = &told[..] else {
        panic!("{told:?}\n{text}")
    };
    assert!(
        warning.starts_with(&format!("routes.toml:{place}: ")) && warning.contains(words),
        "{warning}"
    );
}

const SECRETS: &str = "secrets = [{ env = \"SECRET\" }]";

#[test]
fn an_id_that_is_not_signed() {
    let signed = |id: &str| {
        route(&format!(
            "verify = {{ hmac = {{ header = \"X-Sig\", algorithm = \"sha256\", encoding = \"hex\", signed = \"{{header:X-Id}}.{{body}}\" }}, {SECRETS} }}\nevent_id = {id}"
        ))
    };
    for covered in [
        "{ json = \"/id\" }",
        "{ body = \"sha256\" }",
        "{ header = \"X-Id\" }",
        "{ json = [\"/a\", \"/b\"] }",
        "[{ json = \"/id\" }, { header = \"X-Id\" }]",
    ] {
        assert_eq!(told(&signed(covered)), [""; 0], "{covered}");
    }
    for other in [
        "{ header = \"X-Other\" }",
        "[{ json = \"/id\" }, { header = \"X-Other\" }]",
        "{ header = [\"X-Id\", \"X-Other\"] }",
    ] {
        one(
            &signed(other),
            "5:12: routes.a.event_id",
            "the signature (hmac) does not cover the event id",
        );
    }
    let github = |more: &str| route(&format!("provider = \"github\"\n{SECRETS}\n{more}"));
    one(&github(""), "1:1: routes.a", "does not cover the event id");
    assert_eq!(told(&github("event_id = { body = \"sha256\" }")), [""; 0]);
    // A second proof that covers it will do, and a key proves the caller, not what is sent.
    let second = format!(
        "verify = {{ hmac = {{ header = \"X-Sig\", algorithm = \"sha256\", encoding = \"hex\", signed = \"{{header:x-github-delivery}}.{{body}}\" }}, {SECRETS} }}"
    );
    assert_eq!(told(&github(&second)), [""; 0]);
    let key = "verify = { api_key = { header = \"X-Key\" }, keys = [{ name = \"a\", sha256 = \"7e2b05838979676d7c717ab65af747de57ffb4d554ba18c6fc17fcf89955b080\" }] }\nevent_id = { header = \"X-Id\" }";
    assert_eq!(told(&route(key)), [""; 0]);
}

#[test]
fn a_window_shorter_than_the_provider_s_retries() {
    let stripe = |more: &str| route(&format!("provider = \"stripe\"\n{SECRETS}\n{more}"));
    assert_eq!(told(&stripe("")), [""; 0]);
    assert_eq!(told(&stripe("dedupe_window = \"3d\"")), [""; 0]);
    one(
        &stripe("dedupe_window = \"2d\""),
        "6:17: routes.a.dedupe_window",
        "remembered for 2d, and Stripe may send an event again for 3d",
    );
    let inherited = format!("{}[store]\ndedupe_window = \"1h\"\n", stripe(""));
    one(&inherited, "1:1: routes.a", "dedupe_window = \"3d\"");
    // The preset's own is short on purpose.
    let dropbox = route(&format!("provider = \"dropbox\"\n{SECRETS}"));
    assert_eq!(told(&dropbox), [""; 0]);
}

#[test]
fn targets_and_routes_that_do_not_meet() {
    let fine = route(&format!("provider = \"stripe\"\n{SECRETS}"));
    one(
        &format!("{fine}[targets.erp]\nurl = \"https://erp.example.com\""),
        "8:10: targets.erp",
        "no route delivers to it",
    );
    one(
        &fine
            .replace("[\"crm\"]", "[]")
            .replace("[targets.crm]\nurl = \"https://crm.example.com\"\n", ""),
        "3:11: routes.a.deliver",
        "stored and sent to nobody",
    );
    let open = route("verify = \"none\"\nevent_id = { json = \"/id\" }");
    one(
        &open,
        "4:10: routes.a.verify",
        "whoever knows the address may send events",
    );
    let fenced = open.replace("verify", "allow_from = [\"203.0.113.7\"]\nverify");
    assert_eq!(told(&fenced), [""; 0]);
    let plain = fine.replace("https://crm", "http://crm");
    one(&plain, "7:7: targets.crm.url", "in cleartext");
    assert_eq!(told(&format!("{plain}allow_private = true")), [""; 0]);
}

fn in_days(days: i64) -> String {
    let now = Clock::system().now().as_secs();
    Timestamp::from_secs(now + days * 86_400 + 3600).to_string()
}

#[test]
fn credentials_that_end() {
    let with = |ends: &[Option<i64>]| {
        let secret = |end: &Option<i64>| match end {
            None => "{ env = \"SECRET\" }".to_owned(),
            Some(days) => format!(
                "{{ env = \"GITHUB_WEBHOOK_SECRET\", not_after = \"{}\" }}",
                in_days(*days)
            ),
        };
        let secrets: Vec<_> = ends.iter().map(secret).collect();
        told(&route(&format!(
            "provider = \"stripe\"\nsecrets = [{}]",
            secrets.join(", ")
        )))
    };
    let said = |ends: &[Option<i64>], words: &[&str]| {
        let told = with(ends);
        assert_eq!(told.len(), words.len(), "{told:?}");
        for (warning, words) in told.iter().zip(words) {
            assert!(warning.contains(words), "{warning}");
        }
    };
    said(&[None], &[]);
    said(&[Some(31)], &[]);
    said(&[Some(29)], &["in 29 days, and nothing beside it stays"]);
    said(&[Some(0)], &["in less than a day"]);
    said(&[Some(29), None], &[]);
    said(&[Some(29), Some(40)], &[]);
    said(&[Some(-2), None], &["proves nothing any more"]);
    said(
        &[Some(-2), Some(1)],
        &["proves nothing any more", "in 1 day,"],
    );
    let key = |days| {
        format!(
            "verify = {{ bearer = {{}}, keys = [{{ name = \"a\", sha256 = \"7e2b05838979676d7c717ab65af747de57ffb4d554ba18c6fc17fcf89955b080\", not_after = \"{}\" }}] }}\nevent_id = {{ json = \"/id\" }}",
            in_days(days)
        )
    };
    assert_eq!(told(&route(&key(40))), [""; 0]);
    one(
        &route(&key(-1)),
        "4:33: routes.a.verify.keys[0]",
        "proves nothing any more",
    );
}

/// Years are far enough apart that no clock is asked.
#[test]
fn certificates_that_end() {
    let directory = temporary();
    let here = directory.path();
    let make = |name: &str, until: i32| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(here.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(here.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    make("old", 2001);
    make("new", 2999);
    let both = [
        fs::read(here.join("old.pem")).unwrap(),
        fs::read(here.join("new.pem")).unwrap(),
    ]
    .concat();
    fs::write(here.join("bundle.pem"), both).unwrap();
    let told = |lines: &str| {
        let tls = "[server.tls]\ncertificate = \"new.pem\"\nprivate_key = \"new.key\"\n";
        let tls = if lines.contains("[server.tls]") {
            ""
        } else {
            tls
        };
        let fine = route(&format!("provider = \"stripe\"\n{SECRETS}"));
        let text = format!("{fine}{lines}\n{tls}");
        let config = Config::parse(&text, "routes.toml", here, &environment);
        warnings(&config.unwrap_or_else(|faults| panic!("{faults}\n{text}")))
    };
    assert_eq!(
        told("ca = \"bundle.pem\"\nclient_certificate = \"new.pem\"\nclient_key = \"new.key\""),
        [""; 0]
    );
    for (lines, key) in [
        (
            "ca = \"old.pem\"",
            "targets.crm.ca: the last authority in it expired at 2001-01-01",
        ),
        (
            "client_certificate = \"old.pem\"\nclient_key = \"old.key\"",
            "targets.crm.client_certificate: a certificate of it expired at 2001-01-01",
        ),
        (
            "[server.tls]\ncertificate = \"old.pem\"\nprivate_key = \"old.key\"",
            "server.tls.certificate: a certificate of it expired",
        ),
        (
            "[server.tls]\ncertificate = \"new.pem\"\nprivate_key = \"new.key\"\nclient_ca = \"old.pem\"",
            "server.tls.client_ca: the last authority in it expired",
        ),
    ] {
        let told = told(lines);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(key), "{told:?}");
        assert!(told[0].contains("with the next reload"), "{told:?}");
    }
    let of_store = told("[store]\nurl = \"rediss://127.0.0.1\"\nca = \"old.pem\"");
    assert_eq!(of_store.len(), 1, "{of_store:?}");
    assert!(
        of_store[0].contains("start the gateway anew"),
        "{of_store:?}"
    );
}

#[test]
fn a_password_that_stands_in_the_address_of_the_store() {
    let fine = route(&format!("provider = \"stripe\"\n{SECRETS}"));
    let of = |url: &str| format!("{fine}[store]\nurl = \"{url}\"\n");
    for url in [
        "redis://:canary@127.0.0.1",
        "rediss://user:canary@127.0.0.1/3",
        "redis+sentinel://user:canary@127.0.0.1:1,127.0.0.2:1/main",
        "redis+cluster://:canary@127.0.0.1:1,127.0.0.2:1",
    ] {
        one(
            &of(url),
            "9:7: store.url",
            "a secret is written in this file",
        );
    }
    for url in ["redis://127.0.0.1", "redis://user@127.0.0.1", "file:data"] {
        assert_eq!(told(&of(url)), [""; 0], "{url}");
    }
}

#[test]
fn tokens_of_the_admin_api_have_names_and_roles() {
    let config = parse(&file(
        "[admin]\ntoken = { env = \"HOOKGATE_ADMIN_TOKEN\" }\ntokens = [{ name = \"grafana\", role = \"read\", env = \"SECRET\" }, { name = \"ops\", role = \"write\", file = \"glia.secret\" }]",
    ));
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let tokens: Vec<_> = config
        .admin
        .tokens
        .iter()
        .map(|token| (&*token.name, token.role, token.secret.expose()))
        .collect();
    assert_eq!(
        tokens,
        [
            ("admin", Role::Write, &b"canary-admin-token"[..]),
            ("grafana", Role::Read, b"canary-canary"),
            ("ops", Role::Write, b"canary-glia-secret"),
        ]
    );
    // One of them is enough for another address than loopback.
    assert!(parse(&file("[admin]\nlisten = \"0.0.0.0:9090\"\ntokens = [{ name = \"grafana\", role = \"read\", env = \"SECRET\" }]")).is_ok());
}
