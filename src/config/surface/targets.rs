//! `[targets.NAME]` and `[defaults.target]`.

use super::{
    Key, Rule, Section, Shape,
    Usual::{But, Is, Required, Words},
    key,
    shapes::*,
};

pub(super) static DEFAULTS: Section = Section::new(
    "defaults",
    &[key(
        "target",
        Shape::Table(&DEFAULT_TARGET),
        Words(""),
        "what targets get that do not say otherwise",
        r#"{ timeout = "5s" }"#,
    )],
    &[],
);

static DEFAULT_TARGET: Section = Section {
    without: &[
        "url",
        "headers",
        "retry_on",
        "paused",
        "allow_private",
        "sign",
        "ca",
        "client_certificate",
        "client_key",
    ],
    ..Section::new("defaults.target", TARGET_KEYS, &[])
};

pub(super) static TARGET: Section = Section::new(
    "target",
    TARGET_KEYS,
    &[Rule::Together(&["client_certificate", "client_key"])],
);

const STATUSES: Shape = Shape::Text("^([3-5]xx|[3-5][0-9]{2}(-[3-5][0-9]{2})?|network)$");

static TARGET_KEYS: &[Key] = &[
    key(
        "url",
        HTTP_URL,
        Required,
        "`http` or `https` URL, without credentials",
        r#""https://crm.example.com/in""#,
    ),
    key(
        "headers",
        Shape::Named(HEADER_PATTERN, &Shape::Table(&SECRET)),
        Words("none"),
        r#"table of headers to send: `{ Authorization = { env = "CRM_TOKEN" } }`; each value is a secret or `{ value = "…" }`"#,
        r#"{ Authorization = { env = "CRM_TOKEN" } }"#,
    ),
    key(
        "timeout",
        DURATION,
        Is(r#""10s""#),
        r#"duration of a whole attempt: connect, TLS, request, response; at most `"10m"`"#,
        r#""5s""#,
    ),
    key(
        "concurrency",
        Shape::Integer(1, 10_000),
        Is("32"),
        "attempts at one time",
        "8",
    ),
    key(
        "retry",
        Shape::Table(&RETRY),
        Words("see below"),
        "when a failed attempt is repeated; see below",
        r#"{ first = "2s", max = "30m" }"#,
    ),
    key(
        "retry_on",
        Shape::List(0, &STATUSES),
        Words("all but 400, 410, 413, 422"),
        r#"list of what is repeated: `"408"`, `"5xx"`, `"500-599"`, `"network"` (no response)"#,
        r#"["408", "429", "5xx", "network"]"#,
    ),
    key(
        "rate",
        RATE,
        Words("none"),
        r#"attempts begun, of each gateway: `"200/s"`, `"100/m"`, `"10/h"` or `{ limit = "200/s", burst = 400 }`; the others wait"#,
        r#""200/s""#,
    ),
    key(
        "breaker",
        Shape::OneOf(&[Shape::Choice(&["off"]), Shape::Table(&BREAKER)]),
        Words("on"),
        r#"when the target is given a rest; see below. `"off"`: never"#,
        r#"{ failure_ratio = 0.5, open_for = "1m" }"#,
    ),
    key(
        "paused",
        FLAG,
        Is("false"),
        "`true`: events are stored for it and wait",
        "true",
    ),
    key(
        "allow_private",
        FLAG,
        Is("false"),
        "allows private, loopback, link-local and other special addresses; see below",
        "true",
    ),
    key(
        "sign",
        Shape::Table(&SIGN),
        Words("none"),
        r#"`{ secrets = [{ env = "NAME" }] }`: what is sent is signed; see below"#,
        r#"{ secrets = [{ env = "TICKETS_SECRET" }] }"#,
    ),
    key(
        "ca",
        PATH_OF_FILE,
        Words("the system's"),
        "path of a PEM file: the authorities that may vouch for an `https` target, instead of the system's",
        r#""tls/ca.pem""#,
    ),
    key(
        "client_certificate",
        PATH_OF_FILE,
        Words("none"),
        "path of a PEM file: the certificate (X.509 version 3), with its chain, for an `https` target that asks for one",
        r#""tls/client.pem""#,
    ),
    key(
        "client_key",
        PATH_OF_FILE,
        Words("none"),
        "path of its key in PEM; both or neither",
        r#""tls/client.key""#,
    ),
];

static RETRY: Section = Section::new(
    "retry",
    &[
        key(
            "first",
            DURATION,
            Is(r#""1s""#),
            "duration of the wait after the first failure",
            r#""2s""#,
        ),
        key(
            "factor",
            Shape::Number(1.0, 100.0),
            Is("2.0"),
            "each wait is this much longer than the one before",
            "1.5",
        ),
        key(
            "max",
            DURATION,
            Is(r#""1h""#),
            "duration of the longest wait; a target's `Retry-After` is obeyed, but not below `first` nor above this",
            r#""30m""#,
        ),
        key(
            "schedule",
            Shape::List(1, &DURATION),
            Words("none"),
            "instead of those three: the waits, one after the other; after the last the delivery is dead. A `Retry-After` is obeyed between its first and its longest wait",
            r#"["5s", "5m", "30m"]"#,
        ),
        key(
            "jitter",
            Shape::OneOf(&[Shape::Choice(&["full"]), Shape::Number(0.0, 1.0)]),
            Is(r#""full""#),
            r#"`"full"`: anywhere between nothing and the wait; `0.2`: the wait plus or minus a fifth"#,
            "0.2",
        ),
        key(
            "give_up_after",
            DURATION,
            But(r#""3d""#, "; none with a schedule"),
            "duration from acceptance, or from the last replay, after which the delivery is dead",
            r#""1d""#,
        ),
    ],
    &[
        Rule::AtMostOne(&["schedule", "first"]),
        Rule::AtMostOne(&["schedule", "factor"]),
        Rule::AtMostOne(&["schedule", "max"]),
    ],
);

static BREAKER: Section = Section::new(
    "breaker",
    &[
        key(
            "failure_ratio",
            Shape::Above(0.0, 1.0),
            Is("0.7"),
            "the circuit opens when this share of the attempts has failed, above 0, at most 1",
            "0.5",
        ),
        key(
            "minimum",
            Shape::Integer(1, 10_000),
            Is("10"),
            "... of at least so many attempts",
            "20",
        ),
        key(
            "window",
            DURATION,
            Is(r#""1m""#),
            r#"... within this duration, at most `"1h"`"#,
            r#""5m""#,
        ),
        key(
            "open_for",
            DURATION,
            Is(r#""30s""#),
            r#"duration without attempts before one delivery is tried, at most `"1h"`"#,
            r#""1m""#,
        ),
    ],
    &[],
);

static SIGN: Section = Section::new(
    "sign",
    &[key(
        "secrets",
        Shape::List(1, &Shape::Table(&PROOF)),
        Required,
        "list of secrets, the newest first: base64, with or without `whsec_` before it; one at least without `not_after`",
        r#"[{ env = "TICKETS_SECRET" }]"#,
    )],
    &[],
);
