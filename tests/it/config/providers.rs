//! What a route gets by `provider` and the keys beside it.

use std::{sync::Arc, time::Duration};

use hookgate::{
    config::{Respond, Route, Verifier, Verify},
    signature::{Part, Scheme, Test, jwt::Audience},
};

use super::parse;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A route of a provider: these lines and those that it cannot do without.
fn of_provider(lines: &str) -> Arc<Route> {
    let text = format!(
        "[server]\npublic_url = \"https://hooks.example.com/in/\"\n[routes.a]\npath = \"/a\"\ndeliver = []\n{lines}"
    );
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    config.routes[0].clone()
}

fn schemes(route: &Route) -> Vec<&Scheme> {
    let Verify::All(verifiers) = &route.verify else {
        panic!("anyone may send");
    };
    let Some(Verifier::Signature(verifier)) = verifiers.first() else {
        panic!("{verifiers:?}");
    };
    verifier.schemes.iter().map(|keyed| &keyed.scheme).collect()
}

#[test]
fn a_scheme_is_chosen_among_the_providers() {
    let all = of_provider("provider = \"hubspot\"\nsecrets = [{ env = \"SECRET\" }]");
    let names = |route: &Route| -> Vec<_> {
        schemes(route)
            .iter()
            .map(|scheme| scheme.name.to_string())
            .collect()
    };
    assert_eq!(names(&all), ["v3", "v2", "v1"]);
    let one =
        of_provider("provider = \"hubspot\"\nsecrets = [{ env = \"SECRET\" }]\nscheme = \"v3\"");
    assert_eq!(names(&one), ["v3"]);
    // A scheme without a secret of its kind does not judge.
    let token = of_provider("provider = \"gitlab\"\nsecrets = [{ env = \"SECRET\" }]");
    assert_eq!(names(&token), ["token"]);
}

#[test]
fn the_address_is_the_routes_or_the_servers_with_the_path() {
    let lines = "provider = \"square\"\nsecrets = [{ env = \"SECRET\" }]\n";
    let of = |more: &str| of_provider(&format!("{lines}{more}")).public_url.clone();
    assert_eq!(of("").unwrap().as_str(), "https://hooks.example.com/in/a");
    let own = of("public_url = \"https://other.example.com/b\"").unwrap();
    assert_eq!(own.as_str(), "https://other.example.com/b");
}

#[test]
fn a_tolerance_holds_for_every_scheme_with_a_time() {
    let rules = |provider: &str| -> Vec<_> {
        let lines = format!(
            "provider = {provider:?}\nsecrets = [{{ env = \"SECRET\" }}]\ntolerance = \"1m\""
        );
        let route = of_provider(&lines);
        let rules = schemes(&route)
            .into_iter()
            .filter_map(|scheme| scheme.timestamp.clone());
        rules.map(|rule| (rule.past, rule.future)).collect()
    };
    let both = (Some(MINUTE), Some(MINUTE));
    assert_eq!(rules("hubspot"), [both]);
    assert_eq!(
        rules("stripe"),
        [(Some(MINUTE), None)],
        "Stripe checks no future"
    );
    assert_eq!(rules("zendesk"), [both], "else it has no tolerance at all");
    assert_eq!(rules("mailgun"), [both, both]);
}

#[test]
fn parameters_are_signed_or_must_be_held() {
    let paypal = of_provider("provider = \"paypal\"\nparams = { webhook_id = \"1JE\" }");
    let Verify::All(verifiers) = &paypal.verify else {
        panic!("anyone may send");
    };
    let [Verifier::Signature(verifier)] = &verifiers[..] else {
        panic!("{verifiers:?}");
    };
    assert_eq!(
        verifier.params,
        [("webhook_id".to_owned(), "1JE".to_owned())]
    );

    let sns = of_provider("provider = \"aws-sns\"\nparams = { topic_arn = \"arn:aws:sns:x\" }");
    assert_eq!(sns.json_types, ["text/plain"]);
    for scheme in schemes(&sns) {
        let guard = scheme.guards.last().unwrap();
        assert_eq!(guard.place, Part::Json("/TopicArn".into()));
        assert_eq!(guard.test, Test::Is("arn:aws:sns:x".into()));
    }

    let pubsub = of_provider(
        "provider = \"google-pubsub\"\nparams = { service_account = \"a@b\", audience = \"us\" }",
    );
    let Verify::All(verifiers) = &pubsub.verify else {
        panic!("anyone may send");
    };
    let [Verifier::Jwt(verifier)] = &verifiers[..] else {
        panic!("{verifiers:?}");
    };
    assert!(
        verifier
            .rule
            .claims
            .contains(&("email".into(), "a@b".into()))
    );
    assert_eq!(
        verifier.rule.audience,
        Audience::These(vec!["us".into()].into())
    );
}

#[test]
fn verifiers_beside_a_provider_must_pass_too() {
    let digest = "ab".repeat(32);
    let verify = format!(
        "verify = {{ api_key = {{ header = \"X-Api-Key\" }}, keys = [{{ name = \"k\", sha256 = \"{digest}\" }}] }}"
    );
    let kinds = |lines: &str| -> Vec<_> {
        let route = of_provider(lines);
        let Verify::All(verifiers) = &route.verify else {
            panic!("anyone may send");
        };
        let is_key = |verifier: &Verifier| matches!(verifier, Verifier::ApiKey { .. });
        verifiers.iter().map(is_key).collect()
    };
    let github = "provider = \"github\"\nsecrets = [{ env = \"SECRET\" }]\n";
    assert_eq!(kinds(&format!("{github}{verify}")), [false, true]);
    assert_eq!(kinds(&format!("provider = \"cidaas\"\n{verify}")), [true]);
}

#[test]
fn a_preset_brings_what_its_provider_needs() {
    let secret = "secrets = [{ value = \"44782def547aaa06c910c43932b1eb0c71fc68d9\" }]";
    let adyen = of_provider(&format!("provider = \"adyen\"\n{secret}"));
    let body = adyen.respond.body.clone().unwrap();
    assert_eq!(
        (&*body.content_type, &*body.body),
        ("text/plain", "[accepted]")
    );
    let own = of_provider(&format!(
        "provider = \"adyen\"\n{secret}\nrespond = {{ status = 202 }}"
    ));
    assert_eq!(
        own.respond,
        Respond {
            status: 202,
            body: None
        }
    );

    let lines = "provider = \"dropbox\"\nsecrets = [{ env = \"SECRET\" }]\n";
    assert_eq!(of_provider(lines).dedupe_window, SECOND);
    let own = of_provider(&format!("{lines}dedupe_window = \"1h\""));
    assert_eq!(own.dedupe_window, 60 * MINUTE);
}
