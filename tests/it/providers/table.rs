//! The table itself.

use std::collections::BTreeSet;

use hookgate::{
    config::Pointer,
    providers::{BodyCoverage, IdPlace, Place, Proof},
    signature::{Part, Source},
};

use super::*;

/// What the presets must cover.
const NAMES: &str = "adyen asana aws-sns azure-event-grid bitbucket box calendly cidaas circleci clerk clickup cloudevents \
    coinbase-cdp contentful discord docusign dropbox github gitlab glia gocardless google-pubsub hook0 hubspot instagram \
    intercom jira line linear mailgun meta microsoft-graph monday netlify notion okta openai paddle pagerduty paypal plaid \
    razorpay resend sendgrid sentry shopify slack square standard-webhooks stripe svix telegram trello twilio twitch \
    typeform vercel webflow whatsapp woocommerce workos zendesk zoom";

#[test]
fn every_provider_is_there_once() {
    let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    assert_eq!(names, NAMES.split_whitespace().collect::<Vec<_>>());
    for name in tally().keys() {
        assert!(names.contains(&name.as_str()), "{name}");
    }
}

fn places(preset: &Preset) -> Vec<Place> {
    let ids = preset.event_id.iter().flat_map(|id| match id {
        IdPlace::One(place) => vec![*place],
        IdPlace::Joined(places) => places.to_vec(),
        IdPlace::BodySha256 => Vec::new(),
    });
    ids.chain(preset.event_type.iter().copied()).collect()
}

#[test]
fn every_place_can_be_read() {
    for preset in PRESETS.iter() {
        assert!(!preset.event_id.is_empty(), "{}", preset.name);
        assert!(!preset.content.is_empty(), "{}", preset.name);
        for place in places(preset) {
            match place {
                Place::Json(pointer) => {
                    assert!(
                        Pointer::parse(pointer).is_ok(),
                        "{}: {pointer}",
                        preset.name
                    );
                }
                Place::Header(name) => {
                    assert_eq!(name, name.to_ascii_lowercase(), "{}", preset.name);
                }
            }
        }
    }
}

/// The last resort stands last: behind it nothing is looked for.
#[test]
fn the_digest_of_the_body_is_the_last_place_of_an_id() {
    for preset in PRESETS.iter() {
        let found = preset
            .event_id
            .iter()
            .position(|id| *id == IdPlace::BodySha256);
        let last = preset.event_id.len() - 1;
        assert!(found.is_none_or(|at| at == last), "{}", preset.name);
    }
}

#[test]
fn presets_keep_no_credentials() {
    for preset in PRESETS.iter() {
        for name in preset.keep_headers {
            let is_credential = ["signature", "hmac", "authorization", "cookie", "secret"]
                .iter()
                .any(|word| name.contains(word));
            assert!(!is_credential, "{} keeps {name}", preset.name);
            assert_eq!(*name, name.to_ascii_lowercase(), "{}", preset.name);
            let schemes = preset.schemes().iter();
            let proves = schemes.clone().any(|scheme| match &scheme.signature {
                Source::Headers(names) | Source::Paired(names) => names.contains(&(*name).into()),
                Source::Numbered(start) => name.starts_with(&**start),
                Source::Json(_) | Source::Query(_) => false,
            });
            assert!(!proves, "{} keeps {name}", preset.name);
        }
    }
}

/// Two schemes of one name could not be told apart by `scheme = "…"`.
#[test]
fn the_schemes_of_a_provider_have_names() {
    for preset in PRESETS.iter() {
        let names: BTreeSet<_> = preset.schemes().iter().map(|scheme| &scheme.name).collect();
        assert_eq!(names.len(), preset.schemes().len(), "{}", preset.name);
        if let Proof::Signature(schemes) = &preset.proof {
            assert!(!schemes.is_empty(), "{}", preset.name);
        }
    }
}

/// What a scheme reads of the route is asked for.
#[test]
fn every_parameter_that_is_signed_is_named() {
    let mut read = 0;
    for preset in PRESETS.iter() {
        for part in preset.schemes().iter().flat_map(|scheme| &*scheme.signed) {
            if let Part::Param(name) = part {
                assert!(
                    preset
                        .params
                        .iter()
                        .any(|param| param.name == name && param.required)
                );
                read += 1;
            }
        }
    }
    assert_eq!(read, 1);
}

#[test]
fn what_is_not_covered_is_told() {
    let caveats = |name: &str| preset(name).unwrap().caveats();
    assert_eq!(caveats("stripe"), [""; 0]);
    assert_eq!(
        caveats("github"),
        ["the proof does not cover the event id: the same request may be sent as another event"]
    );
    assert_eq!(
        caveats("hubspot"),
        [
            "v2 and v1: no time is signed, and without its newer signature the same request may be sent again later; \
             scheme = \"v3\" takes no such request"
        ]
    );
    let gitlab = caveats("gitlab");
    assert_eq!(gitlab.len(), 2);
    assert!(
        gitlab
            .iter()
            .all(|caveat| caveat.starts_with("token does not cover")),
        "{gitlab:?}"
    );
}

/// The name of a scheme, and what it covers of the body and of the id.
type Row = (&'static str, BodyCoverage, bool);

#[test]
fn coverage_follows_from_the_scheme() {
    use BodyCoverage::{Checksum, Fields, Nothing, Whole};
    let rows: [(&str, &[Row]); 22] = [
        // The delivery id is a header beside the signature.
        ("github", &[("hmac", Whole, false)]),
        ("stripe", &[("hmac", Whole, true)]),
        (
            "standard-webhooks",
            &[("v1", Whole, true), ("v1a", Whole, true)],
        ),
        (
            "gitlab",
            &[("signing", Whole, true), ("token", Nothing, false)],
        ),
        ("slack", &[("hmac", Whole, true)]),
        ("twitch", &[("hmac", Whole, true)]),
        ("dropbox", &[("hmac", Whole, true)]),
        // The event's id is signed, the delivery's that stands in for it is not.
        ("box", &[("hmac", Whole, false)]),
        (
            "mailgun",
            &[("json", Fields, false), ("form", Fields, false)],
        ),
        (
            "adyen",
            &[("platform", Whole, true), ("payments", Fields, false)],
        ),
        (
            "aws-sns",
            &[("sha256", Fields, true), ("sha1", Fields, true)],
        ),
        ("paypal", &[("rsa", Checksum, false)]),
        ("plaid", &[("jwt", Whole, true)]),
        ("netlify", &[("jwt", Whole, true)]),
        ("google-pubsub", &[("jwt", Nothing, false)]),
        ("monday", &[("jwt", Nothing, false)]),
        ("okta", &[("equal", Nothing, false)]),
        ("microsoft-graph", &[("equal", Nothing, false)]),
        ("contentful", &[("hmac", Whole, false)]),
        (
            "hubspot",
            &[
                ("v3", Whole, true),
                ("v2", Whole, true),
                ("v1", Whole, true),
            ],
        ),
        ("telegram", &[("equal", Nothing, false)]),
        ("cidaas", &[]),
    ];
    for (name, expected) in rows {
        let found: Vec<_> = preset(name)
            .unwrap()
            .coverage()
            .into_iter()
            .map(|(scheme, coverage)| (scheme, coverage.body, coverage.id))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}
