//! Files without faults, and the values they yield.

use std::{net::SocketAddr, time::Duration};

use hookgate::{
    clock::Timestamp,
    config::{
        Breaker, Config, Durability, EventIdSource, Field, Jitter, Kind, OrderBy, Pointer, Rate,
        Respond, RespondBody, Retry, RetryOn, Route, StoreUrl, Target, Tls, Verifier, Verify, Wait,
    },
    expression::Expression,
    payload::Content,
    signature::{Algorithm, Encoding, Form, KeyedScheme, Method, Part, Source, Unit},
};

use super::{ROUTE, fixtures, parse, warnings};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn full() -> Config {
    let text = std::fs::read_to_string(fixtures().join("full.toml")).unwrap();
    parse(&text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn route<'c>(config: &'c Config, name: &str) -> &'c Route {
    config
        .routes
        .iter()
        .find(|route| &*route.name == name)
        .unwrap()
}

fn target<'c>(config: &'c Config, name: &str) -> &'c Target {
    &config.targets[name]
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pointer(text: &str) -> Field {
    Field::Json(Pointer::parse(text).unwrap())
}

#[test]
fn the_listeners_and_the_store_are_read() {
    let Config {
        server,
        admin,
        store,
        ..
    } = full();
    assert_eq!(server.listen, address("0.0.0.0:8443"));
    assert_eq!(server.plain_listen, Some(address("10.0.0.1:8080")));
    assert_eq!(
        server.public_url.unwrap().as_str(),
        "https://hooks.example.com/"
    );
    let proxies: Vec<_> = server
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.7/32"]);
    assert_eq!(server.head_timeout, 5 * SECOND);
    assert_eq!(server.body_timeout, 20 * SECOND);
    assert_eq!(server.idle_timeout, MINUTE);
    assert_eq!(server.shutdown_grace, 45 * SECOND);
    assert_eq!(server.max_connections_per_ip, 64);
    assert_eq!(server.max_connections, 5000);
    assert_eq!(server.max_body_in_flight, 64 << 20);
    assert_eq!(server.workers, 3);
    let tls = Tls::Files {
        certificate: fixtures().join("tls/server.crt"),
        private_key: fixtures().join("tls/server.key"),
    };
    assert_eq!(server.tls, tls);

    assert_eq!(admin.listen, address("0.0.0.0:9090"));
    assert_eq!(admin.tokens[0].secret.expose(), b"canary-admin-token");

    assert!(
        matches!(&store.url, StoreUrl::Embedded { directory } if *directory == fixtures().join("state"))
    );
    assert_eq!(store.durability, Durability::Everysec);
    assert_eq!(store.retention, 7 * DAY);
    assert_eq!(store.retention_size, 5 << 30);
}

#[test]
fn targets_take_what_they_leave_out_from_the_defaults() {
    let config = full();
    assert_eq!(config.targets.len(), 3);

    let crm = target(&config, "crm");
    assert_eq!(crm.url.as_str(), "https://crm.internal.example/webhooks");
    let headers = crm.headers.iter();
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    headers.sort();
    let expected: [(&str, &[u8]); 2] = [
        ("authorization", b"Bearer canary-crm"),
        ("x-environment", b"production"),
    ];
    assert_eq!(headers, expected);
    assert_eq!((crm.timeout, crm.concurrency), (3 * SECOND, 4));
    assert!(crm.allow_private && !crm.paused);
    let schedule = Retry {
        wait: Wait::Schedule {
            delays: vec![5 * SECOND, 5 * MINUTE, 30 * MINUTE],
            jitter: Jitter::Ratio(0.2),
        },
        give_up_after: None,
    };
    assert_eq!(crm.retry, schedule);
    let listed = RetryOn::Listed {
        statuses: vec![(408, 408), (425, 425), (429, 429), (500, 599), (520, 529)],
        network: true,
    };
    assert_eq!(crm.retry_on, listed);

    let support = target(&config, "support");
    assert!(support.paused && !support.allow_private);
    assert_eq!((support.timeout, support.concurrency), (15 * SECOND, 8));
    assert_eq!(support.retry_on, RetryOn::Default);
    assert_eq!(support.retry.give_up_after, Some(2 * HOUR));
    let defaults = Wait::Exponential {
        first: 2 * SECOND,
        factor: 3.0,
        max: 30 * MINUTE,
        jitter: Jitter::Ratio(0.5),
    };
    assert_eq!(support.retry.wait, defaults);
    assert_eq!(target(&config, "audit").retry.give_up_after, Some(DAY));
}

#[test]
fn a_target_has_its_own_authorities_certificate_and_signature() {
    let config = full();
    let audit = target(&config, "audit");
    assert_eq!(audit.tls.authorities.as_ref().unwrap().len(), 1);
    let pair = &audit.tls.client_certificate.as_ref().unwrap().0;
    assert_eq!(pair.cert.len(), 1);
    let sign = audit.sign.as_ref().unwrap();
    assert_eq!(
        sign.scheme.signature,
        Source::Headers(vec!["webhook-signature".into()].into())
    );
    let secrets = sign.secrets.iter();
    let secrets: Vec<_> = secrets
        .map(|secret| (&*secret.name, secret.validity.not_after))
        .collect();
    let end_of_2026 = Timestamp::from_secs(1_798_675_200);
    assert_eq!(
        secrets,
        [
            ("TICKETS_SECRET", None),
            ("AUDIT_SECRET", Some(end_of_2026))
        ]
    );

    let support = target(&config, "support");
    assert!(support.sign.is_none() && support.tls.authorities.is_none());
}

#[test]
fn deliveries_may_have_an_order() {
    let config = full();
    let orders = |name: &str| -> Vec<_> {
        let deliver = route(&config, name).deliver.iter();
        deliver.map(|line| line.order.clone()).collect()
    };
    let by = |pointer: &str, hold| {
        let pointer = Pointer::parse(pointer).unwrap();
        Some(OrderBy { pointer, hold })
    };
    assert_eq!(orders("github"), [None, by("/repository/id", true)]);
    assert_eq!(orders("glia"), [None, by("/customerId", false)]);
}

#[test]
fn deliveries_may_have_expressions() {
    let config = full();
    let expressions = |name: &str| -> Vec<_> {
        let deliver = route(&config, name).deliver.iter();
        let source = |expression: &Option<Expression>| {
            let source = expression.as_ref().map(Expression::source);
            source.map(str::to_owned)
        };
        deliver
            .map(|line| (source(&line.when), source(&line.transform)))
            .collect()
    };
    assert_eq!(expressions("github"), [(None, None), (None, None)]);
    let when = Some(r#".priority == "high""#.to_owned());
    let transform = Some("{ticket: .id, who: .customer}".to_owned());
    assert_eq!(expressions("glia"), [(when, None), (None, transform)]);
}

#[test]
fn routes_keep_the_order_of_the_file() {
    let config = full();
    let names: Vec<_> = config.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(
        names,
        ["github", "glia", "tickets", "basic", "bearer", "anyone"]
    );
}

#[test]
fn a_preset_brings_its_places_and_headers() {
    let config = full();
    let github = route(&config, "github");
    assert_eq!(github.path, "/hooks/github");
    assert_eq!(
        (&github.methods[..], &github.content[..]),
        (
            &["POST".to_owned()][..],
            &[Content::Json, Content::Form][..]
        )
    );
    assert_eq!(github.max_body, 2 << 20, "from [server]");
    assert_eq!(github.dedupe_window, 2 * DAY, "from [store]");
    let delivery = Field::Header("x-github-delivery".to_owned());
    assert_eq!(github.event_id, [EventIdSource::Fields(vec![delivery])]);
    assert_eq!(
        github.event_type,
        [Field::Header("x-github-event".to_owned())]
    );
    assert!(github.keep_headers.contains(&"x-github-event".to_owned()));
    let deliver: Vec<_> = github
        .deliver
        .iter()
        .map(|line| {
            (
                &*line.to,
                line.events
                    .iter()
                    .map(|glob| glob.matches("issues"))
                    .collect(),
            )
        })
        .collect();
    assert_eq!(
        deliver,
        [("audit", vec![]), ("crm", vec![false, false, true])]
    );

    let Verify::All(verifiers) = &github.verify else {
        panic!("anyone may send");
    };
    let [Verifier::Signature(verifier)] = &verifiers[..] else {
        panic!("{verifiers:?}");
    };
    let names: Vec<_> = verifier.schemes[0]
        .secrets
        .iter()
        .map(|secret| (&*secret.name, secret.validity.not_after))
        .collect();
    let end_of_2026 = Timestamp::from_secs(1_798_675_200);
    assert_eq!(
        names,
        [
            ("GITHUB_WEBHOOK_SECRET", None),
            ("GITHUB_WEBHOOK_SECRET_OLD", Some(end_of_2026))
        ]
    );
}

#[test]
fn a_tolerance_overrides_the_preset() {
    let config = full();
    let Verify::All(verifiers) = &route(&config, "tickets").verify else {
        panic!("anyone may send");
    };
    let [Verifier::Signature(verifier)] = &verifiers[..] else {
        panic!("{verifiers:?}");
    };
    let rule = verifier.schemes[0].scheme.timestamp.as_ref().unwrap();
    assert_eq!((rule.past, rule.future), (Some(MINUTE), Some(MINUTE)));
}

#[test]
fn a_route_is_spelled_out() {
    let config = full();
    let glia = route(&config, "glia");
    assert_eq!(glia.methods, ["POST", "PUT"]);
    assert_eq!(glia.max_body, 64 << 10);
    assert!(!glia.enabled);
    assert_eq!(glia.dedupe_window, 7 * DAY);
    let sources: Vec<_> = glia.allow_from.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["203.0.113.0/24", "2001:db8::1/128"]);
    let rate = glia.rate.unwrap();
    assert_eq!(
        (rate.limit.get(), rate.period, rate.burst.get()),
        (500, SECOND, 1000)
    );
    let respond = Respond {
        status: 202,
        body: Some(RespondBody {
            content_type: "application/json".to_owned(),
            body: "{}".to_owned(),
        }),
    };
    assert_eq!(glia.respond, respond);
    let id = [
        EventIdSource::Fields(vec![pointer("/tenant"), pointer("/eventId")]),
        EventIdSource::Fields(vec![Field::Header("x-event-id".to_owned())]),
        EventIdSource::BodySha256,
    ];
    assert_eq!(glia.event_id, id);
    let event_type = [pointer("/event"), Field::Header("x-event".to_owned())];
    assert_eq!(glia.event_type, event_type);
    assert_eq!(glia.keep_headers, ["x-tenant"]);
    let require = glia.require.iter();
    let require: Vec<_> = require
        .map(|line| (line.pointer.as_str(), line.kind))
        .collect();
    let expected = [
        ("/event", Kind::String),
        ("/customerId", Kind::Uuid),
        ("/timestamp", Kind::DateTime),
    ];
    assert_eq!(require, expected);
}

#[test]
fn schemas_are_compiled_with_formats() {
    let config = full();
    let schemas = route(&config, "glia").schema.as_ref().unwrap();
    let ticket = &schemas.by_type["ticket.opened"];
    assert!(ticket.is_valid(&serde_json::json!({ "ticket_id": 1 })));
    assert!(!ticket.is_valid(&serde_json::json!({})));
    assert!(!ticket.is_valid(&serde_json::json!({ "ticket_id": 1, "opened_at": "yesterday" })));
    for name in ["glia", "anyone"] {
        let schemas = route(&config, name).schema.as_ref().unwrap();
        assert!(
            !schemas
                .others
                .as_ref()
                .unwrap()
                .is_valid(&serde_json::json!([]))
        );
    }
}

#[test]
fn verifiers_are_spelled_out() {
    let config = full();
    let Verify::All(verifiers) = &route(&config, "glia").verify else {
        panic!("anyone may send");
    };
    let [
        Verifier::ApiKey { header, keys },
        Verifier::Signature(verifier),
    ] = &verifiers[..]
    else {
        panic!("{verifiers:?}");
    };
    let KeyedScheme { scheme, secrets } = &verifier.schemes[0];
    assert_eq!((header.as_str(), keys.len()), ("x-api-key", 1));
    assert_eq!((&*keys[0].name, keys[0].sha256[0]), ("glia-2026", 0x5e));
    let new_year_in_berlin = Timestamp::from_secs(1_798_758_000);
    assert_eq!(keys[0].validity.not_after, Some(new_year_in_berlin));

    assert_eq!(
        (scheme.method, scheme.encoding),
        (Method::Hmac(Algorithm::Sha512), Encoding::Base64)
    );
    assert_eq!(
        scheme.signature,
        Source::Headers(vec!["x-signature".into()].into())
    );
    assert_eq!(
        scheme.form,
        Form::Bare {
            prefix: "v=".into()
        }
    );
    let timestamp = Part::Header("x-timestamp".into());
    assert_eq!(
        &*scheme.signed,
        [timestamp.clone(), Part::Literal(".".into()), Part::Body]
    );
    let rule = scheme.timestamp.as_ref().unwrap();
    assert_eq!((&rule.source, rule.unit), (&timestamp, Unit::Millis));
    assert_eq!(
        (rule.past, rule.future),
        (Some(2 * MINUTE), Some(2 * MINUTE))
    );
    assert_eq!(&*secrets[0].name, "glia.secret");

    let Verify::All(verifiers) = &route(&config, "basic").verify else {
        panic!("anyone may send");
    };
    assert!(matches!(&verifiers[..], [Verifier::Basic { keys }] if keys[0].sha256[0] == 0x5e));

    let Verify::All(verifiers) = &route(&config, "bearer").verify else {
        panic!("anyone may send");
    };
    let [Verifier::Bearer { keys }] = &verifiers[..] else {
        panic!("{verifiers:?}");
    };
    assert_eq!(
        (keys.len(), &*keys[0].name, keys[0].sha256[0]),
        (1, "partner", 0x6e)
    );
    assert_eq!(keys[0].validity.not_after, Some(new_year_in_berlin));
    assert!(matches!(route(&config, "anyone").verify, Verify::Nobody));
}

#[test]
fn sections_may_be_left_out() {
    let config = parse(ROUTE).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.server.listen, address("127.0.0.1:8443"));
    assert_eq!(config.admin.listen, address("127.0.0.1:9090"));
    let directory = fixtures().join("data");
    let tls = Tls::SelfSigned {
        directory: directory.join("tls"),
    };
    assert_eq!(config.server.tls, tls);
    assert!(
        matches!(&config.store.url, StoreUrl::Embedded { directory: found } if *found == directory)
    );
    assert_eq!(config.store.durability, Durability::Always);
    assert_eq!(config.store.retention, 3 * DAY);
    let fine = route(&config, "fine");
    assert_eq!((fine.max_body, fine.dedupe_window), (1 << 20, 4 * DAY));
    assert!(fine.enabled && fine.respond.status == 200 && fine.rate.is_none());
    let told = warnings(&config);
    assert!(
        told.iter().all(|told| told.contains(": routes.fine.")),
        "{told:?}"
    );
}

#[test]
fn a_spool_is_a_directory_beside_the_configuration() {
    for (spool, expected) in [
        ("file:spool", fixtures().join("spool")),
        ("file:///var/spool/hookgate", "/var/spool/hookgate".into()),
    ] {
        let text = format!("[store]\nurl = \"redis://host\"\nspool = \"{spool}\"\n{ROUTE}");
        let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(config.store.spool, Some(expected), "{spool}");
    }
    let config = parse(ROUTE).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.store.spool, None);
}

#[test]
fn retries_have_defaults() {
    let text = format!("[targets.crm]\nurl = \"https://crm.example.com\"\n{ROUTE}");
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let retry = Retry {
        wait: Wait::Exponential {
            first: SECOND,
            factor: 2.0,
            max: HOUR,
            jitter: Jitter::Full,
        },
        give_up_after: Some(3 * DAY),
    };
    let crm = target(&config, "crm");
    assert_eq!(crm.retry, retry);
    assert_eq!((crm.timeout, crm.concurrency), (10 * SECOND, 32));
    assert_eq!((crm.rate, crm.breaker), (None, Some(Breaker::default())));
}

#[test]
fn breakers_and_rates_are_inherited_key_by_key() {
    let text = format!(
        r#"
        [defaults.target]
        rate = "10/m"
        breaker = {{ minimum = 5, open_for = "1s" }}

        [targets.plain]
        url = "https://crm.example.com"

        [targets.own]
        url = "https://crm.example.com"
        rate = {{ limit = "2/s", burst = 8 }}
        breaker = {{ failure_ratio = 1, window = "10s" }}

        [targets.off]
        url = "https://crm.example.com"
        breaker = "off"
        {ROUTE}"#
    );
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let rate = |limit: u32, period, burst: u32| Rate {
        limit: limit.try_into().unwrap(),
        period,
        burst: burst.try_into().unwrap(),
    };
    let inherited = Breaker {
        minimum: 5,
        open_for: SECOND,
        ..Breaker::default()
    };
    let own = Breaker {
        failure_ratio: 1.0,
        window: 10 * SECOND,
        ..inherited
    };
    let of = |name| (target(&config, name).rate, target(&config, name).breaker);
    let default_rate = rate(10, MINUTE, 10);
    assert_eq!(of("plain"), (Some(default_rate), Some(inherited)));
    assert_eq!(of("own"), (Some(rate(2, SECOND, 8)), Some(own)));
    assert_eq!(of("off"), (Some(default_rate), None));

    let off =
        "[defaults.target]\nbreaker = \"off\"\n[targets.crm]\nurl = \"https://crm.example.com\"\n";
    let again = parse(&format!("{off}breaker = {{ minimum = 3 }}\n{ROUTE}"));
    let again = target(&again.unwrap(), "crm").breaker;
    let expected = Breaker {
        minimum: 3,
        ..Breaker::default()
    };
    assert_eq!(again, Some(expected));
}

#[test]
fn one_path_serves_routes_of_different_methods() {
    let other = ROUTE.replace("fine]", "other]") + "methods = [\"PUT\"]\n";
    let config = parse(&format!("{ROUTE}{other}")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.routes.len(), 2);
}

#[test]
fn load_reads_the_file_and_resolves_against_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("routes.toml");
    std::fs::write(&path, ROUTE).unwrap();
    let config = Config::load(&path).unwrap();
    assert!(
        matches!(&config.store.url, StoreUrl::Embedded { directory: found } if *found == directory.path().join("data"))
    );

    let missing = directory.path().join("missing.toml");
    let told = Config::load(&missing).unwrap_err().to_string();
    assert!(
        told.starts_with(&format!("{}: found no readable file", missing.display())),
        "{told}"
    );
}

#[test]
fn routes_say_what_they_take() {
    let text = r#"
[routes.all]
path = "/all"
verify = "none"
methods = ["GET", "POST"]
content = ["any", "xml", "form", "json"]
event_id = [{ json = ["/tenant", "/items/*/id"] }, { body = "sha256" }]
event_type = { json = "/items/*/type" }
deliver = []

[routes.raw]
path = "/raw"
verify = "none"
content = ["any"]
event_id = { body = "sha256" }
event_type = { header = "X-Type" }
deliver = []

# The payload of a GET is read, whatever else is taken.
[routes.asked]
path = "/asked"
verify = "none"
methods = ["GET"]
content = ["any"]
event_id = { json = "/id" }
deliver = []

[routes.batch]
path = "/batch"
verify = "none"
split = "/events"
event_id = [{ json = "/id" }, { body = "sha256" }]
deliver = []
"#;
    let config = parse(text).unwrap_or_else(|faults| panic!("{faults}"));
    let all = route(&config, "all");
    assert_eq!(all.methods, ["GET", "POST"]);
    let every = [Content::Any, Content::Xml, Content::Form, Content::Json];
    assert_eq!(all.content, every);
    assert_eq!(all.event_type, [pointer("/items/*/type")]);
    assert_eq!(all.split, None);
    assert_eq!(route(&config, "raw").content, [Content::Any]);
    let batch = route(&config, "batch");
    assert_eq!(batch.content, [Content::Json]);
    assert_eq!(batch.split, Some(Pointer::parse("/events").unwrap()));
}

#[test]
fn lines_of_accepted_requests() {
    let lines = |log: &str| {
        let text = format!(
            "{log}\n[routes.a]\npath = '/a'\nverify = 'none'\nevent_id = {{ json = '/id' }}\ndeliver = []"
        );
        parse(&text).unwrap().log.accepted_lines_per_second
    };
    assert_eq!(lines("").map(std::num::NonZeroU32::get), Some(100));
    let some = lines("[log]\naccepted_lines_per_second = 7");
    assert_eq!(some.map(std::num::NonZeroU32::get), Some(7));
    assert_eq!(lines("[log]\naccepted_lines_per_second = 0"), None);
}
