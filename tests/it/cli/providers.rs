//! `send` as every provider whose key both sides know, to a gateway over HTTPS.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hookgate::{
    providers::{JwtKeys, PRESETS, Preset, Proof},
    signature::{KeySource, Scheme, SecretForm},
};

use super::program::{Serving, hookgate, stderr, stdout};
use crate::support::sign::sha256_hex;

/// The first scheme that a shared secret proves; `None`: another kind of preset.
fn symmetric(preset: &Preset) -> Option<Option<&Scheme>> {
    match &preset.proof {
        Proof::Signature(schemes) => {
            let shared = |scheme: &&Scheme| {
                !scheme.method.has_public_key() && scheme.key == KeySource::Secrets
            };
            Some(Some(schemes.iter().find(shared)?))
        }
        Proof::Jwt(_, JwtKeys::Secrets) => Some(None),
        Proof::Jwt(..) | Proof::Agreed => None,
    }
}

fn secret(scheme: Option<&Scheme>) -> String {
    const TEXT: &str = "canary-secret-0123456789abcdef01";
    match scheme.map(|scheme| &scheme.secret_form) {
        Some(SecretForm::Base64 { prefix, .. } | SecretForm::Base64OrText { prefix }) => {
            format!("{prefix}{}", BASE64_STANDARD.encode(TEXT))
        }
        Some(SecretForm::Hex) => hex::encode(TEXT),
        _ => TEXT.to_owned(),
    }
}

fn route(preset: &Preset, scheme: Option<&Scheme>) -> String {
    let name = preset.name;
    let mut text = format!(
        "[routes.{name}]\npath = \"/hooks/{name}\"\nprovider = \"{name}\"\ndeliver = []\n\
         public_url = \"https://hooks.example.com/hooks/{name}\"\n\
         secrets = [{{ value = \"{}\" }}]\n",
        secret(scheme)
    );
    let required = preset.params.iter().filter(|param| param.required);
    let params: Vec<_> = required
        .map(|param| format!("{} = \"canary-param\"", param.name))
        .collect();
    if !params.is_empty() {
        writeln!(text, "params = {{ {} }}", params.join(", ")).unwrap();
    }
    text
}

/// What is wrong with `arguments` for one route: exit code and what is told.
fn complaint(
    gateway: &Serving,
    name: &str,
    arguments: &[&str],
    code: i32,
    told: &[&str],
) -> Option<String> {
    let mut all = vec!["send", "--route", name];
    all.extend(arguments);
    let output = hookgate(gateway.directory.path(), &all);
    let said = stdout(&output) + &stderr(&output);
    let is_right = output.status.code() == Some(code)
        && told.iter().all(|words| said.contains(words))
        && !said.contains("canary-secret");
    (!is_right).then(|| format!("{name} {arguments:?}: {:?}\n{said}", output.status.code()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_symmetric_preset_is_accepted_and_its_flaws_are_not() {
    let presets: Vec<_> = PRESETS
        .iter()
        .filter_map(|preset| Some((preset, symmetric(preset)?)))
        .collect();
    assert!(presets.len() > 40, "only {} presets", presets.len());
    let routes: String = presets
        .iter()
        .map(|(preset, scheme)| route(preset, *scheme))
        .collect();
    let gateway = Serving::start(&routes).await;
    let mut complaints = Vec::new();
    let mut timed = 0;
    for (preset, scheme) in &presets {
        let name = preset.name;
        let accepted = ["\"status\":\"accepted\"", "\"status\":\"duplicate\""];
        // A provider may want an answer of its own.
        let told = match preset.respond {
            None => &accepted[..],
            Some(_) => &["200 OK"],
        };
        complaints.extend(complaint(&gateway, name, &["--duplicate"], 0, told));
        let forged = ["401 Unauthorized"];
        complaints.extend(complaint(&gateway, name, &["--bad-signature"], 1, &forged));
        let has_time = match (&preset.proof, scheme) {
            (Proof::Jwt(rule, _), _) => rule.expires || rule.max_age.is_some(),
            (_, Some(scheme)) => {
                let rule = scheme.timestamp.as_ref();
                rule.is_some_and(|rule| rule.past.is_some() || rule.future.is_some())
            }
            (_, None) => false,
        };
        timed += usize::from(has_time);
        complaints.extend(match has_time {
            true => complaint(&gateway, name, &["--stale"], 1, &forged),
            false => complaint(&gateway, name, &["--stale"], 64, &["--stale means nothing"]),
        });
    }
    assert!(timed > 10, "only {timed} have a time");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_are_told_of_together() {
    let github = PRESETS
        .iter()
        .find(|preset| preset.name == "github")
        .unwrap();
    let gateway = Serving::start(&route(github, symmetric(github).unwrap())).await;
    for (arguments, code, told) in [
        (
            &["--count", "20"][..],
            0,
            &[
                "sent 20",
                "accepted 20, duplicate 0",
                "refused 0",
                "p50",
                "p99",
            ][..],
        ),
        (
            &["--count", "20", "--rate", "1000/s", "--duplicate"],
            0,
            &["sent 40", "accepted 20, duplicate 20"],
        ),
        (
            &["--count", "3", "--id", "evt-1"],
            0,
            &["accepted 1, duplicate 2"],
        ),
        (
            &["--count", "3", "--bad-signature"],
            1,
            &["accepted 0", "refused 3 (3 × 401)"],
        ),
        (
            &[
                "--count",
                "3",
                "--url",
                "https://127.0.0.1:1",
                "--ca",
                "data/tls/localhost.crt",
            ],
            1,
            &["without an answer 3"],
        ),
    ] {
        let fault = complaint(&gateway, "github", arguments, code, told);
        assert_eq!(fault, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_route_takes_is_sent() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let routes = format!(
        r#"
        [routes.discord]
        path = "/hooks/discord"
        provider = "discord"
        secrets = [{{ value = "{}" }}]
        deliver = []

        [routes.link]
        path = "/hooks/link"
        verify = {{ query_key = {{ name = "key" }}, keys = [{{ name = "link", sha256 = "{}" }}] }}
        event_id = {{ json = "/id" }}
        deliver = []

        [routes.form]
        path = "/hooks/form"
        verify = "none"
        content = ["form"]
        event_id = {{ json = "/id" }}
        deliver = []

        [routes.deep-form]
        path = "/hooks/deep-form"
        verify = "none"
        content = ["form"]
        event_id = {{ json = "/event/id" }}
        deliver = []

        [routes.xml]
        path = "/hooks/xml"
        verify = "none"
        content = ["xml"]
        event_id = {{ json = "/order/id" }}
        deliver = []

        [routes.get]
        path = "/hooks/get"
        methods = ["GET"]
        verify = "none"
        content = ["form"]
        event_id = {{ json = "/id" }}
        deliver = []

        [routes.list]
        path = "/hooks/list"
        verify = "none"
        event_id = {{ json = "/*/id" }}
        deliver = []

        [routes.split]
        path = "/hooks/split"
        verify = "none"
        split = "/events"
        event_id = {{ json = "/id" }}
        deliver = []
        "#,
        hex::encode(key.public_key_raw()),
        sha256_hex("canary-secret-link"),
    );
    let gateway = Serving::start(&routes).await;
    let pem = gateway.directory.path().join("signing.pem");
    std::fs::write(&pem, key.serialize_pem()).unwrap();
    let pem = pem.to_str().unwrap();
    let twice = ["\"status\":\"accepted\"", "\"status\":\"duplicate\""];
    let refused = ["401 Unauthorized"];
    let discord = ["--duplicate", "--signing-key", pem];
    let forged = ["--bad-signature", "--signing-key", pem];
    let link = ["--duplicate", "--key", "canary-secret-link"];
    let other = ["--bad-signature", "--key", "canary-secret-link"];
    let timeless = ["--stale", "--key", "canary-secret-link"];
    let mut complaints = vec![
        complaint(&gateway, "discord", &discord, 0, &twice),
        complaint(&gateway, "discord", &forged, 1, &refused),
        complaint(&gateway, "discord", &[], 64, &["--signing-key"]),
        complaint(&gateway, "link", &link, 0, &twice),
        complaint(&gateway, "link", &other, 1, &refused),
        complaint(&gateway, "link", &timeless, 64, &["--stale means nothing"]),
    ];
    for name in ["form", "deep-form", "xml", "get", "list", "split"] {
        complaints.push(complaint(&gateway, name, &["--duplicate"], 0, &twice));
    }
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
