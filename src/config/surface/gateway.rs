//! The file as a whole, `[server]`, `[admin]` and `[store]`.

use super::{
    Rule, Section, Shape,
    Usual::{But, Is, Required, Words},
    key,
    routes::ROUTE,
    shapes::*,
    targets::{DEFAULTS, TARGET},
};

/// The whole file.
pub static WHOLE: Section = Section::new(
    "file",
    &[
        key(
            "include",
            Shape::List(0, &TEXT),
            Is("[]"),
            "list of other files, each by its path or a pattern such as `\"routes.d/*.toml\"`, in which more routes and targets stand",
            "[\"routes.d/*.toml\"]",
        ),
        key(
            "server",
            Shape::Table(&SERVER),
            Words(""),
            "the public listener",
            "{}",
        ),
        key(
            "admin",
            Shape::Table(&ADMIN),
            Words(""),
            "metrics, health and the API",
            "{}",
        ),
        key(
            "store",
            Shape::Table(&STORE),
            Words(""),
            "where events are kept, and for how long",
            "{}",
        ),
        key(
            "log",
            Shape::Table(&LOG),
            Words(""),
            "how much is logged",
            "{}",
        ),
        key(
            "telemetry",
            Shape::Table(&TELEMETRY),
            Words(""),
            "where traces go",
            "{}",
        ),
        key(
            "defaults",
            Shape::Table(&DEFAULTS),
            Words(""),
            "what targets get that do not say otherwise",
            "{}",
        ),
        key(
            "targets",
            Shape::Named(NAME_PATTERN, &Shape::Table(&TARGET)),
            Words(""),
            "who gets events, by name",
            r#"{ crm = { url = "https://crm.example.com/in" } }"#,
        ),
        key(
            "routes",
            Shape::Named(NAME_PATTERN, &Shape::Table(&ROUTE)),
            Words("at least one"),
            "who may call, by name",
            r#"{ crm = { path = "/hooks/crm", verify = "none", event_id = { json = "/id" }, deliver = [] } }"#,
        ),
    ],
    &[],
);

static SERVER: Section = Section::new(
    "server",
    &[
        key(
            "listen",
            ADDRESS,
            Is(r#""127.0.0.1:8443""#),
            "address and port of HTTPS (TLS 1.2 and 1.3, HTTP/1.1)",
            r#""0.0.0.0:8443""#,
        ),
        key(
            "public_url",
            HTTP_URL,
            Words("none"),
            "the gateway's address as providers know it",
            r#""https://hooks.example.com""#,
        ),
        key(
            "plain_listen",
            ADDRESS,
            Words("none"),
            "a second, cleartext listener, for a load balancer that ends TLS",
            r#""127.0.0.1:8080""#,
        ),
        key(
            "allow_plain",
            FLAG,
            Is("false"),
            "allows `plain_listen` on other addresses than loopback",
            "true",
        ),
        key(
            "trusted_proxies",
            NETWORKS,
            Is("[]"),
            "list of networks whose `X-Forwarded-For` and `Forwarded` are believed",
            r#"["10.0.0.0/8"]"#,
        ),
        key(
            "max_body",
            SIZE,
            Is(r#""1MiB""#),
            "size of the largest body; routes may say otherwise",
            r#""256KiB""#,
        ),
        key(
            "max_body_in_flight",
            SIZE,
            Is(r#""256MiB""#),
            "size of all bodies that are being received or stored at one time; over it: 503",
            r#""64MiB""#,
        ),
        key(
            "head_timeout",
            DURATION,
            Is(r#""10s""#),
            "duration within which a request's head, and the TLS handshake, must be complete",
            r#""5s""#,
        ),
        key(
            "body_timeout",
            DURATION,
            Is(r#""10s""#),
            "duration within which the whole body must have come; over it: 408",
            r#""30s""#,
        ),
        key(
            "idle_timeout",
            DURATION,
            Is(r#""75s""#),
            "duration after which a connection without a request is closed",
            r#""2m""#,
        ),
        key(
            "max_connections",
            Shape::Integer(1, 1_000_000),
            Is("10000"),
            "connections at one time, shared evenly among the `workers`",
            "20000",
        ),
        key(
            "max_connections_per_ip",
            Shape::Integer(1, 1_000_000),
            Is("256"),
            "connections of one address at one time; trusted proxies are not counted",
            "64",
        ),
        key(
            "shutdown_grace",
            DURATION,
            Is(r#""30s""#),
            "duration that a stop waits for what is in flight",
            r#""1m""#,
        ),
        key(
            "workers",
            Shape::Integer(1, 1024),
            Words("one a core"),
            "threads that serve requests",
            "4",
        ),
        key(
            "tls",
            Shape::Table(&SERVER_TLS),
            Words("on loopback a self-signed certificate"),
            "the certificate of `listen`, and who may vouch for callers",
            r#"{ certificate = "tls/server.crt", private_key = "tls/server.key" }"#,
        ),
    ],
    &[],
);

static SERVER_TLS: Section = Section::new(
    "server.tls",
    &[
        key(
            "certificate",
            PATH_OF_FILE,
            Words("required, but on loopback with `client_ca` alone"),
            "path of the chain in PEM, leaf first",
            r#""tls/server.crt""#,
        ),
        key(
            "private_key",
            PATH_OF_FILE,
            Words("as `certificate`"),
            "path of its key in PEM",
            r#""tls/server.key""#,
        ),
        key(
            "client_ca",
            PATH_OF_FILE,
            Words("none"),
            "path of a PEM file: the authorities that may vouch for callers. A caller then may show a certificate (routes say with `client_certificate` whether it must); one that they do not vouch for ends the connection. Revocation lists are not asked",
            r#""tls/ca.pem""#,
        ),
    ],
    &[Rule::Together(&["certificate", "private_key"])],
);

static ADMIN: Section = Section::new(
    "admin",
    &[
        key(
            "listen",
            ADDRESS,
            Is(r#""127.0.0.1:9090""#),
            "address and port, plain HTTP",
            r#""127.0.0.1:9191""#,
        ),
        key(
            "token",
            Shape::Table(&SECRET),
            Words("none; it or `tokens` is required when `listen` is not loopback"),
            "a secret that `/metrics` and the API (see [api.md](api.md)) ask for as `Authorization: Bearer …`; `/healthz` and `/readyz` do not",
            r#"{ env = "HOOKGATE_ADMIN_TOKEN" }"#,
        ),
        key(
            "tokens",
            Shape::List(1, &Shape::Table(&NAMED_TOKEN)),
            Words("none"),
            "list of further tokens, each with a name, a role (`\"read\"` or `\"write\"`) and its secret; that of `token` is called `admin` and may write",
            r#"[{ name = "grafana", role = "read", env = "GRAFANA_TOKEN" }]"#,
        ),
    ],
    &[],
);

/// A token with a name.
static NAMED_TOKEN: Section = Section::new(
    "admin_token",
    &[
        key(
            "name",
            Shape::Text("^.{1,64}$"),
            Required,
            "what logs call whoever shows it",
            "\"grafana\"",
        ),
        key(
            "role",
            Shape::Choice(&["read", "write"]),
            Required,
            "what it opens: `\"read\"`, what can be read; `\"write\"`, that and what changes something",
            "\"read\"",
        ),
        ENV,
        FILE,
        VALUE,
    ],
    ONE_ORIGIN,
);

static LOG: Section = Section::new(
    "log",
    &[key(
        "accepted_lines_per_second",
        Shape::Integer(0, 1_000_000),
        Is("100"),
        "lines of accepted requests (and duplicates) in the log; the next that is written tells how many were left out (`left_out`). `0`: none. Refusals have at most 50 a second",
        "10",
    )],
    &[],
);

static TELEMETRY: Section = Section::new(
    "telemetry",
    &[key(
        "otlp",
        Shape::Table(&OTLP),
        Words("none: nothing is exported"),
        "where traces are exported to (see [traces.md](traces.md)); takes effect at a restart",
        r#"{ endpoint = "http://localhost:4318" }"#,
    )],
    &[],
);

static OTLP: Section = Section::new(
    "otlp",
    &[
        key(
            "endpoint",
            HTTP_URL,
            Required,
            "URL of a collector that takes OTLP over HTTP; `/v1/traces` is added where it has no path",
            r#""http://localhost:4318""#,
        ),
        key(
            "headers",
            Shape::Named(HEADER_PATTERN, &Shape::Table(&SECRET)),
            Words("none"),
            "table of what the collector asks for; each value is a secret or `{ value = \"…\" }`",
            r#"{ Authorization = { env = "OTLP_TOKEN" } }"#,
        ),
        key(
            "sample",
            Shape::Number(0.0, 1.0),
            Is("1.0"),
            "share of the traces that begin here, `0.0` to `1.0`; of those that callers began, their `sampled` flag decides",
            "0.1",
        ),
    ],
    &[],
);

const STORE_URL: Shape = Shape::Text("^(file:.+|rediss?(\\+(sentinel|cluster))?://.+)$");
const SPOOL: Shape = Shape::Text("^file:.+$");

static STORE: Section = Section::new(
    "store",
    &[
        key(
            "url",
            Shape::OneOf(&[STORE_URL, Shape::Table(&SECRET)]),
            Is(r#""file:data""#),
            r#"`"file:DIRECTORY"`: embedded. Redis 7.0 or newer, or Valkey, shared by any number of gateways: `"redis://HOST:PORT"`, `"redis+sentinel://HOST:PORT,…/NAME"` or `"redis+cluster://HOST:PORT,…"`, with TLS `rediss`; see [redis.md](redis.md). A URL with a password is a secret: `{ env = "NAME" }`"#,
            r#""redis://redis.internal:6379""#,
        ),
        key(
            "shards",
            Shape::Integer(1, 256),
            But("1", ", in a cluster `6`"),
            "parts that the events in Redis are spread over, 1 to 256; cannot be changed later. A route stands whole in one of them while it has `order_by` or `split`; when that comes or goes, its remembered ids are not found any more",
            "4",
        ),
        key(
            "ca",
            PATH_OF_FILE,
            Words("the system's"),
            "path of the authorities, in PEM, that may vouch for Redis",
            r#""tls/ca.pem""#,
        ),
        key(
            "client_certificate",
            PATH_OF_FILE,
            Words("none"),
            "path of a PEM file: the certificate (X.509 version 3), with its chain, for a Redis that asks for one",
            r#""tls/client.pem""#,
        ),
        key(
            "client_key",
            PATH_OF_FILE,
            Words("none"),
            "path of its key in PEM; both or neither",
            r#""tls/client.key""#,
        ),
        key(
            "durability",
            Shape::Choice(&["always", "everysec", "memory"]),
            Is(r#""always""#),
            r#"what a 200 promises: `"always"` synced to disk, `"everysec"` synced within a second, `"memory"` a crash may lose it. Checked against the settings of Redis at the start"#,
            r#""everysec""#,
        ),
        key(
            "retention",
            DURATION,
            Is(r#""3d""#),
            "duration that an event is kept after its last delivery has ended, delivered or dead",
            r#""7d""#,
        ),
        key(
            "retention_size",
            SIZE,
            Is(r#""10GiB""#),
            "size of all stored bodies above which the oldest finished events go first; unfinished ones never do",
            r#""50GiB""#,
        ),
        key(
            "dedupe_window",
            DURATION,
            Is(r#""4d""#),
            "duration that an event id is remembered; choose it longer than any sender goes on retrying. Routes may say otherwise",
            r#""7d""#,
        ),
        key(
            "spool",
            SPOOL,
            Words("none: they are answered 503"),
            r#"`"file:DIRECTORY"`: where events go while Redis cannot take them, beside a `url` of Redis only; see [spool.md](spool.md)"#,
            r#""file:spool""#,
        ),
    ],
    &[Rule::Together(&["client_certificate", "client_key"])],
);
