//! `[routes.NAME]`.

use super::{
    Rule, Section, Shape,
    Usual::{But, Is, Required, Words},
    key,
    shapes::*,
    verify::VERIFIER,
};

const PATH: Shape = Shape::Text("^/[!\"$-)+->@-~]{0,1023}$");
const KIND: Shape = Shape::Choice(&[
    "string",
    "number",
    "integer",
    "boolean",
    "object",
    "array",
    "null",
    "any",
    "date-time",
    "uuid",
]);

pub(super) static ROUTE: Section = Section::new(
    "route",
    &[
        key(
            "path",
            PATH,
            Required,
            "begins with `/`; compared whole and exactly",
            r#""/hooks/crm""#,
        ),
        key(
            "methods",
            Shape::List(1, &Shape::Choice(&["POST", "PUT", "PATCH", "GET"])),
            Is(r#"["POST"]"#),
            r#"list of `"POST"`, `"PUT"`, `"PATCH"`, `"GET"`; the payload of a GET is its query, read as a form"#,
            r#"["POST", "PUT"]"#,
        ),
        key(
            "content",
            Shape::List(1, &Shape::Choice(&["json", "form", "xml", "any"])),
            Is(r#"["json"]"#),
            r#"list of what is taken: `"json"`, `"form"`, `"xml"`, `"any"`; see [payloads.md](payloads.md). Of `"any"` nothing is read"#,
            r#"["json", "form"]"#,
        ),
        key(
            "json_types",
            Shape::List(0, &MEDIA_TYPE),
            Words("the preset's, else none"),
            r#"list of content types that hold JSON though they do not say so, such as `["text/plain"]`"#,
            r#"["text/plain"]"#,
        ),
        key(
            "split",
            POINTER,
            Words("none: a request is one event"),
            r#"JSON pointer to a list, `""` for the whole body: each element is an event of its own, all accepted in one step; see [payloads.md](payloads.md)"#,
            r#""/events""#,
        ),
        key(
            "provider",
            Shape::Provider,
            Words("this or `verify`"),
            r#"a preset, such as `"github"`; `hookgate providers` lists them, and the [README](../README.md#providers). Brings what proves the caller, and where the route does not say otherwise: event id and type, headers to keep, `content`, `json_types`, `respond` and `dedupe_window`"#,
            r#""github""#,
        ),
        key(
            "scheme",
            TEXT,
            Words("all of them"),
            r#"with `provider`: the only one of its schemes that is taken, such as `"v3"` of HubSpot's; else, of those that the route has secrets for, the first that applies to a request judges it, alone"#,
            r#""v3""#,
        ),
        key(
            "params",
            Shape::Named(ANY, &TEXT),
            Words("what the provider asks for"),
            r#"table of strings: what only you know of the provider, such as `{ webhook_id = "…" }` of PayPal's; `hookgate providers show NAME` tells."#,
            r#"{ webhook_id = "1JE4291016473214C" }"#,
        ),
        key(
            "public_url",
            HTTP_URL,
            Words("`server.public_url` and the path; required where the address is signed"),
            "the address that the provider calls, without a query. Providers that sign the address sign this one: `Host` is never believed",
            r#""https://hooks.example.com/hooks/crm""#,
        ),
        key(
            "secrets",
            Shape::List(
                1,
                &Shape::OneOf(&[Shape::Table(&PROOF), Shape::Table(&FROM_HANDSHAKE)]),
            ),
            Words("required with `provider`"),
            "list of secrets, with `provider`; any of them may match. `[{ handshake = true }]`: the provider gives it when the address is registered (Asana, Notion); see [handshakes.md](handshakes.md)",
            r#"[{ env = "GITHUB_WEBHOOK_SECRET" }]"#,
        ),
        key(
            "verify_token",
            Shape::Table(&SECRET),
            Words("none: registrations are refused"),
            "with a provider that shows one when the address is registered (Meta): the secret that it must be; see [handshakes.md](handshakes.md)",
            r#"{ env = "SECRET" }"#,
        ),
        key(
            "tolerance",
            DURATION,
            Words("the preset's"),
            "with `provider`: duration that a signed time, or a token's, may be off. A provider whose own libraries take any time of the future keeps that",
            r#""2m""#,
        ),
        key(
            "verify",
            Shape::OneOf(&[
                Shape::Choice(&["none"]),
                Shape::Table(&VERIFIER),
                Shape::List(1, &Shape::Table(&VERIFIER)),
            ]),
            Words("this or `provider`"),
            "without `provider`: how callers prove themselves; see below. Beside it: what must pass too, or all there is for providers that are proven as you agree",
            r#"{ bearer = {}, keys = [{ name = "partner", sha256 = "6e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }] }"#,
        ),
        key(
            "event_id",
            Shape::OneOf(&[
                Shape::Table(&ID_PLACE),
                Shape::List(1, &Shape::Table(&ID_PLACE)),
            ]),
            Words("the preset's, else required"),
            "where the provider's id stands; see below",
            r#"{ json = "/id" }"#,
        ),
        key(
            "event_type",
            Shape::OneOf(&[
                Shape::Table(&TYPE_PLACE),
                Shape::List(1, &Shape::Table(&TYPE_PLACE)),
            ]),
            Words("the preset's, else none"),
            r#"where the type stands: `{ json = "/event" }` or `{ header = "X-Event" }`; of a list the first that exists"#,
            r#"{ json = "/event" }"#,
        ),
        key(
            "require",
            Shape::Named(POINTER_PATTERN, &KIND),
            Words("none"),
            "table of JSON pointer = kind: what must be in the payload; see below",
            r#"{ "/customerId" = "uuid" }"#,
        ),
        key(
            "schema",
            Shape::OneOf(&[PATH_OF_FILE, Shape::Named(ANY, &PATH_OF_FILE)]),
            Words("none"),
            r#"path of a JSON Schema, or a table of paths by event type, where `"*"` stands for all others"#,
            r#""schemas/ticket.json""#,
        ),
        key(
            "deliver",
            Shape::List(0, &Shape::OneOf(&[NAME, Shape::Table(&DELIVER)])),
            Required,
            r#"list of at most 1024 targets, each `"NAME"` or a table with `to`, `events`, `when`, `transform`, `order_by` and `on_dead`; see below. `[]` stores events and sends them nowhere"#,
            r#"["crm"]"#,
        ),
        key(
            "keep_headers",
            Shape::List(0, &HEADER),
            Words("none"),
            "list of request headers that are stored and sent on, beside the preset's and `traceparent`; credentials, `Content-Type` and headers of the connection are refused",
            r#"["X-Tenant"]"#,
        ),
        key(
            "dedupe_window",
            DURATION,
            Words("`store.dedupe_window`"),
            "duration that an event id is remembered",
            r#""7d""#,
        ),
        key(
            "max_body",
            SIZE,
            Words("`server.max_body`"),
            "size of the largest body; over it: 413",
            r#""64KiB""#,
        ),
        key(
            "allow_from",
            NETWORKS,
            But("[]", ": everybody"),
            "list of networks that may call; others get 403",
            r#"["203.0.113.0/24"]"#,
        ),
        key(
            "rate",
            RATE,
            Words("none"),
            r#"`"500/s"`, `"100/m"`, `"10/h"` or `{ limit = "500/s", burst = 1000 }`; over it: 429"#,
            r#"{ limit = "500/s", burst = 1000 }"#,
        ),
        key(
            "respond",
            Shape::Table(&RESPOND),
            Words("200 with Hookgate's JSON"),
            r#"the answer to an accepted event: `{ status = 202, content_type = "text/plain", body = "ok" }`"#,
            "{ status = 202 }",
        ),
        key("enabled", FLAG, Is("true"), "`false`: 403", "false"),
        key(
            "keep_rejected",
            FLAG,
            Is("false"),
            "`true`: the bodies of refused requests (their first 64 KiB) are kept with their records, for `hookgate explain`",
            "true",
        ),
    ],
    &[
        Rule::Some(&["provider", "verify"]),
        Rule::Some(&["provider", "event_id"]),
        Rule::Needs("scheme", "provider"),
        Rule::Needs("params", "provider"),
        Rule::Needs("secrets", "provider"),
        Rule::Needs("verify_token", "provider"),
        Rule::Needs("tolerance", "provider"),
    ],
);

/// In place of a secret.
static FROM_HANDSHAKE: Section = Section::new(
    "secret_from_handshake",
    &[key(
        "handshake",
        FLAG,
        Required,
        "`true`: the provider gives the secret when the address is registered; see [handshakes.md](handshakes.md)",
        "true",
    )],
    &[],
);

static ID_PLACE: Section = Section::new(
    "event_id",
    &[
        key(
            "json",
            POINTERS,
            Words("this, `header` or `body`"),
            "JSON pointer; of a list all must exist and are the id together",
            r#""/id""#,
        ),
        key(
            "header",
            HEADERS,
            Words(""),
            "the header that holds the id, or a list of headers that are it together",
            r#""X-Event-Id""#,
        ),
        key(
            "body",
            Shape::Choice(&["sha256"]),
            Words(""),
            "`\"sha256\"`: the same body is the same event",
            r#""sha256""#,
        ),
    ],
    &[Rule::One(&["json", "header", "body"])],
);

const POINTERS: Shape = Shape::OneOf(&[POINTER, Shape::List(1, &POINTER)]);

static TYPE_PLACE: Section = Section::new(
    "event_type",
    &[
        key(
            "json",
            POINTER,
            Words("this or `header`"),
            "JSON pointer to the type",
            r#""/event""#,
        ),
        key(
            "header",
            HEADER,
            Words(""),
            "the header that holds the type",
            r#""X-Event""#,
        ),
    ],
    &[Rule::One(&["json", "header"])],
);

static DELIVER: Section = Section::new(
    "deliver",
    &[
        key("to", NAME, Required, "the name of a target", r#""crm""#),
        key(
            "events",
            Shape::List(1, &TEXT),
            Words("all"),
            "list of event types, exact or with `*` and `?`; others are not sent there",
            r#"["issue*"]"#,
        ),
        key(
            "when",
            TEXT,
            Words("all"),
            r#"an expression of jq such as `'.priority == "high"'`; what it does not want is not sent, see [expressions.md](expressions.md)"#,
            r#"'.priority == "high"'"#,
        ),
        key(
            "transform",
            TEXT,
            Words("the body, byte for byte"),
            "an expression of jq such as `'{ticket: .id, who: .customer}'`; its value is sent, as JSON, in place of the body",
            r#""{ticket: .id, who: .customer}""#,
        ),
        key(
            "order_by",
            POINTER_WITHIN,
            Words("none: in no order"),
            r#"JSON pointer such as `"/customerId"`: events whose value there is the same reach the target one after another, in the order in which they were accepted; others go side by side"#,
            r#""/customerId""#,
        ),
        key(
            "on_dead",
            Shape::Choice(&["continue", "hold"]),
            Is(r#""continue""#),
            r#"what a dead letter does to those behind it: `"continue"`, it steps aside; `"hold"`, they wait until it is replayed and delivered, or expires"#,
            r#""hold""#,
        ),
    ],
    &[Rule::Needs("on_dead", "order_by")],
);

static RESPOND: Section = Section::new(
    "respond",
    &[
        key(
            "status",
            Shape::Integer(200, 299),
            Is("200"),
            "the status",
            "202",
        ),
        key(
            "content_type",
            Shape::Text("/"),
            Words("`\"text/plain; charset=utf-8\"`"),
            "the content type of `body`",
            r#""application/json""#,
        ),
        key(
            "body",
            ANY_TEXT,
            Words("Hookgate's JSON"),
            "the body, at most 64 KiB",
            r#""ok""#,
        ),
    ],
    &[Rule::Needs("content_type", "body")],
);
