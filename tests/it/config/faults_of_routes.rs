//! Faults of routes, what they take and where they deliver: the exact lines that are told.

use super::{check, file, parse, route, told};

#[test]
fn routes() {
    check(
        file,
        &[
            (
                "routes = {}",
                &[
                    "routes.toml:1:10: routes: found no route, expected at least one [routes.NAME]: else there is nothing to receive",
                ],
            ),
            (
                r#"[routes.a]
verify = "none"
event_id = { json = "/id" }
deliver = []"#,
                &[
                    r#"routes.toml:1:1: routes.a.path: missing, expected a path such as "/hooks/crm" of ASCII without `?`, `#`, `*` and spaces"#,
                ],
            ),
            (
                r#"[routes.a]
path = "/a"
event_id = { json = "/id" }
deliver = []"#,
                &[
                    r#"routes.toml:1:1: routes.a.verify: missing, expected `provider` and `secrets`, or `verify`; write verify = "none" to accept from anyone"#,
                ],
            ),
            (
                r#"[routes.a]
path = "/a"
verify = "none"
deliver = []"#,
                &[
                    r#"routes.toml:1:1: routes.a.event_id: missing, expected where the event's id stands: { json = "/id" }, { header = "X-Event-Id" } or { body = "sha256" }"#,
                ],
            ),
            (
                r#"[routes.a]
path = "/a"
verify = "none"
event_id = { json = "/id" }"#,
                &[
                    r#"routes.toml:1:1: routes.a.deliver: missing, expected a list of targets such as ["crm"]; [] stores events and sends them nowhere"#,
                ],
            ),
            (
                r#"[routes."a b"]
path = "/a"
verify = "none"
event_id = { json = "/id" }
deliver = []"#,
                &[
                    r#"routes.toml:1:9: routes."a b": found "a b", expected a name of at most 64 of a-z, 0-9, `_` and `-` that begins with a letter or a digit"#,
                ],
            ),
            (
                r#"[routes.a]
path = "/a"
verify = "none"
event_id = { json = "/id" }
deliver = []
[routes.b]
path = "/a"
verify = "none"
event_id = { json = "/id" }
deliver = []"#,
                &[
                    r#"routes.toml:7:8: routes.b.path: found "/a", the path of routes.a, expected another path, or other methods"#,
                ],
            ),
            (
                r#"[targets.crm]
url = "https://crm.example.com"
# routes: none"#,
                &[
                    "routes.toml:1:1: routes: missing, expected at least one [routes.NAME]: else there is nothing to receive",
                ],
            ),
        ],
    );
}

#[test]
fn routes_by_key() {
    check(
        route,
        &[
            (
                r#"path = "a""#,
                &[
                    r#"routes.toml:2:8: routes.a.path: found "a", expected a path such as "/hooks/crm" of ASCII without `?`, `#`, `*` and spaces"#,
                ],
            ),
            (
                r#"path = "/a?b=*""#,
                &[
                    r#"routes.toml:2:8: routes.a.path: found "/a?b=*", expected a path such as "/hooks/crm" of ASCII without `?`, `#`, `*` and spaces"#,
                ],
            ),
            (
                r#"methods = ["HEAD"]"#,
                &[
                    r#"routes.toml:2:12: routes.a.methods[0]: found "HEAD", expected "POST", "PUT", "PATCH" or "GET""#,
                ],
            ),
            (
                "methods = []",
                &[
                    "routes.toml:2:11: routes.a.methods: found an empty list, expected at least one method",
                ],
            ),
            (
                r#"content = ["forms"]"#,
                &[
                    r#"routes.toml:2:12: routes.a.content[0]: found "forms", expected "json", "form", "xml" or "any""#,
                ],
            ),
            (
                r#"content = []"#,
                &[
                    r#"routes.toml:2:11: routes.a.content: found an empty list, expected at least one kind of content"#,
                ],
            ),
            (
                r#"content = "json""#,
                &[
                    r#"routes.toml:2:11: routes.a.content: found "json", expected a list such as ["json", "form"]"#,
                ],
            ),
            (
                r#"content = ["xml", "json", "xml"]"#,
                &[r#"routes.toml:2:27: routes.a.content[2]: found "xml", expected each kind once"#],
            ),
            (
                r#"content = ["any"]"#,
                &[
                    r#"routes.toml:2:11: routes.a.content: found only "any", of which nothing is read, beside `event_id` that reads the payload, expected "json", "form" or "xml" too"#,
                ],
            ),
            (
                r#"content = ["any"]
event_id = [{ header = "X-Id" }, { body = "sha256" }]
event_type = [{ header = "X-Type" }, { json = "/type" }]
require = { "/id" = "string" }
schema = "schemas/any.json"
deliver = [{ to = "crm", order_by = "/customerId" }]"#,
                &[
                    r#"routes.toml:2:11: routes.a.content: found only "any", of which nothing is read, beside `event_type`, `require`, `schema`, `order_by` that reads the payload, expected "json", "form" or "xml" too"#,
                ],
            ),
            (
                r#"split = "events""#,
                &[
                    r#"routes.toml:2:9: routes.a.split: found "events", expected a JSON pointer such as "/id" (a JSON pointer begins with `/`)"#,
                ],
            ),
            (
                r#"split = "/events/*""#,
                &[
                    r#"routes.toml:2:9: routes.a.split: found "/events/*", expected a JSON pointer to one place: `*` is only for `event_id` and `event_type`"#,
                ],
            ),
            (
                r#"split = ""
content = ["json", "form"]
methods = ["POST", "GET"]
event_id = [{ json = "/id" }, { header = "X-Id" }]"#,
                &[
                    r#"routes.toml:2:9: routes.a.split: found `split` beside other content than JSON, expected content = ["json"]"#,
                    r#"routes.toml:2:9: routes.a.split: found `split` beside the method GET, expected other methods"#,
                    r#"routes.toml:2:9: routes.a.split: found `split` beside an event id that is one for all elements, expected event_id = { json = "/id" }, read from each, or { body = "sha256" }"#,
                ],
            ),
            (
                r#"max_body = "1GiB""#,
                &[
                    r#"routes.toml:2:12: routes.a.max_body: found "1GiB", expected at most server.max_body_in_flight"#,
                ],
            ),
            (
                r#"dedupe_window = "always""#,
                &[
                    r#"routes.toml:2:17: routes.a.dedupe_window: found "always", expected a duration such as "10s""#,
                ],
            ),
            (
                r#"keep_headers = ["Authorization", "a b"]"#,
                &[
                    r#"routes.toml:2:17: routes.a.keep_headers[0]: found "Authorization", expected a header that holds no credentials"#,
                    r#"routes.toml:2:34: routes.a.keep_headers[1]: found "a b", expected the name of a header"#,
                ],
            ),
            (
                r#"allow_from = ["everywhere"]"#,
                &[
                    r#"routes.toml:2:15: routes.a.allow_from[0]: found "everywhere", expected a network such as "203.0.113.0/24""#,
                ],
            ),
            (
                r#"rate = "500""#,
                &[
                    r#"routes.toml:2:8: routes.a.rate: found "500", expected a rate such as "500/s", "100/m" or "10/h""#,
                ],
            ),
            (
                r#"rate = { limit = "0/s", burst = 0 }"#,
                &[
                    r#"routes.toml:2:18: routes.a.rate.limit: found "0/s", expected a rate such as "500/s", "100/m" or "10/h""#,
                    "routes.toml:2:33: routes.a.rate.burst: found 0, expected a number from 1 to 4294967295",
                ],
            ),
            (
                "respond = { status = 404 }",
                &[
                    "routes.toml:2:22: routes.a.respond.status: found 404, expected a number from 200 to 299",
                ],
            ),
            (
                r#"respond = { status = 204, body = "ok" }"#,
                &[
                    r#"routes.toml:2:34: routes.a.respond.body: found "ok", expected none: an answer of status 204 has no body"#,
                ],
            ),
            (
                r#"respond = { content_type = "text/plain" }"#,
                &[
                    "routes.toml:2:11: routes.a.respond.body: missing, expected the body that `content_type` speaks of",
                ],
            ),
            (
                r#"respond = { body = "ok", content_type = "text" }"#,
                &[
                    r#"routes.toml:2:41: routes.a.respond.content_type: found "text", expected a content type such as "text/plain""#,
                ],
            ),
            (
                r#"enabled = "no""#,
                &[r#"routes.toml:2:11: routes.a.enabled: found "no", expected true or false"#],
            ),
            (
                r#"order_by = "/n""#,
                &[
                    "routes.toml:2:1: routes.a.order_by: found an unknown key, expected `methods`, `path`, `verify`, `provider`, `secrets`, `scheme`, `tolerance`, `params`, `verify_token`, `public_url`, `event_id`, `event_type`, `content`, `split`, `json_types`, `max_body`, `keep_headers`, `dedupe_window`, `require`, `schema`, `deliver`, `allow_from`, `rate`, `respond`, `enabled` or `keep_rejected`",
                ],
            ),
            (
                r#"evnt_type = { json = "/t" }"#,
                &[
                    "routes.toml:2:1: routes.a.evnt_type: found an unknown key; did you mean `event_type`?",
                ],
            ),
            (
                r#"keep_headers = ["X-Api-Key", "Host", "content-type"]
verify = { api_key = { header = "X-Api-Key" }, keys = [{ name = "a", sha256 = "abababababababababababababababababababababababababababababababab" }] }"#,
                &[
                    r#"routes.toml:2:17: routes.a.keep_headers[0]: found "X-Api-Key", expected a header that holds no credentials"#,
                    r#"routes.toml:2:30: routes.a.keep_headers[1]: found "Host", expected a header that Hookgate does not send by itself"#,
                    r#"routes.toml:2:38: routes.a.keep_headers[2]: found "content-type", expected a header that Hookgate does not send by itself"#,
                ],
            ),
        ],
    );
}

#[test]
fn ids_types_and_schemas() {
    check(
        route,
        &[
            (
                r#"event_id = { json = "id" }"#,
                &[
                    r#"routes.toml:2:21: routes.a.event_id.json: found "id", expected a JSON pointer such as "/id" (a JSON pointer begins with `/`)"#,
                ],
            ),
            (
                "event_id = { json = [] }",
                &[
                    "routes.toml:2:21: routes.a.event_id.json: found an empty list, expected at least one JSON pointer",
                ],
            ),
            (
                r#"event_id = { json = "/id", header = "X-Id" }"#,
                &[
                    r#"routes.toml:2:12: routes.a.event_id: found none or several of `json`, `header` and `body`, expected { json = "/id" }, { header = "X-Event-Id" } or { body = "sha256" }"#,
                ],
            ),
            (
                r#"event_id = { body = "md5" }"#,
                &[r#"routes.toml:2:21: routes.a.event_id.body: found "md5", expected "sha256""#],
            ),
            (
                "event_id = []",
                &[
                    r#"routes.toml:2:12: routes.a.event_id: found an empty list, expected { json = "/id" }, { header = "X-Event-Id" } or { body = "sha256" }"#,
                ],
            ),
            (
                r#"event_id = "/id""#,
                &[
                    r#"routes.toml:2:12: routes.a.event_id: found "/id", expected { json = "/id" }, { header = "X-Event-Id" } or { body = "sha256" }"#,
                ],
            ),
            (
                r#"event_id = { jsn = "/id" }"#,
                &[
                    "routes.toml:2:14: routes.a.event_id.jsn: found an unknown key; did you mean `json`?",
                ],
            ),
            (
                r#"event_type = { json = "/~2" }"#,
                &[
                    r#"routes.toml:2:23: routes.a.event_type.json: found "/~2", expected a JSON pointer such as "/id" (in a JSON pointer `~` is followed by `0` or `1`)"#,
                ],
            ),
            (
                "event_type = {}",
                &[
                    r#"routes.toml:2:14: routes.a.event_type: found none or several of `json` and `header`, expected { json = "/event" } or { header = "X-Event-Type" }"#,
                ],
            ),
            (
                r#"event_type = { header = "a b" }"#,
                &[
                    r#"routes.toml:2:25: routes.a.event_type.header: found "a b", expected the name of a header"#,
                ],
            ),
            (
                r#"require = { id = "string", "/id" = "text" }"#,
                &[
                    r#"routes.toml:2:13: routes.a.require.id: found "id", expected a JSON pointer such as "/id" (a JSON pointer begins with `/`)"#,
                    r#"routes.toml:2:36: routes.a.require."/id": found "text", expected "string", "number", "integer", "boolean", "object", "array", "null", "any", "date-time" or "uuid""#,
                ],
            ),
            (
                r#"require = { "/items/*/id" = "string" }"#,
                &[
                    r#"routes.toml:2:13: routes.a.require."/items/*/id": found "/items/*/id", expected a JSON pointer to one place: `*` is only for `event_id` and `event_type`"#,
                ],
            ),
            (
                r#"schema = "schemas/none.json""#,
                &[
                    r#"routes.toml:2:10: routes.a.schema: found "schemas/none.json", which cannot be read (No such file or directory (os error 2)), expected a JSON Schema"#,
                ],
            ),
            (
                r#"schema = "tls/server.key""#,
                &[
                    r#"routes.toml:2:10: routes.a.schema: found "tls/server.key", which is not JSON (expected ident at line 1 column 2), expected a JSON Schema"#,
                ],
            ),
            (
                r#"schema = { "*" = "schemas/broken.json", "push" = "schemas/any.json" }"#,
                &[
                    r#"routes.toml:2:18: routes.a.schema."*": found "schemas/broken.json", which is no schema ("strin" is not valid under any of the schemas listed in the 'anyOf' keyword), expected a JSON Schema"#,
                    r#"routes.toml:2:41: routes.a.schema.push: found a schema of one event type on a route without `event_type`, expected `event_type`, or the key "*""#,
                ],
            ),
            (
                r#"schema = "schemas/remote.json""#,
                &[
                    r#"routes.toml:2:10: routes.a.schema: found "schemas/remote.json", which is no schema (Resource 'https://example.com/schema.json' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch https://example.com/schema.json), expected a JSON Schema"#,
                ],
            ),
        ],
    );
}

#[test]
fn deliveries() {
    check(
        file,
        &[(
            r#"timeout = "soon"
[routes.a]
path = "/a"
verify = "none"
event_id = { json = "/id" }
deliver = ["crm"]"#,
            &[
                "routes.toml:1:1: timeout: found an unknown key, expected `include`, `store`, `server`, `admin`, `telemetry`, `log`, `defaults`, `targets` or `routes`",
                r#"routes.toml:6:12: routes.a.deliver[0]: found "crm", expected the name of a target"#,
            ],
        )],
    );
}

#[test]
fn deliveries_by_key() {
    check(
        route,
        &[
            (
                r#"deliver = ["crn"]"#,
                &[
                    r#"routes.toml:2:12: routes.a.deliver[0]: found "crn", expected the name of a target; did you mean `crm`?"#,
                ],
            ),
            (
                r#"deliver = ["warehouse"]"#,
                &[
                    r#"routes.toml:2:12: routes.a.deliver[0]: found "warehouse", expected the name of a target"#,
                ],
            ),
            (
                r#"deliver = ["crm", { to = "crm" }]"#,
                &[
                    r#"routes.toml:2:26: routes.a.deliver[1].to: found "crm", expected each target once"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", events = ["push"] }]"#,
                &[
                    r#"routes.toml:2:35: routes.a.deliver[0].events: found `events` on a route without `event_type`, expected `event_type = { json = "/event" }` on the route"#,
                ],
            ),
            (
                r#"event_type = { json = "/t" }
deliver = [{ to = "crm", events = [] }]"#,
                &[
                    "routes.toml:3:35: routes.a.deliver[0].events: found an empty list, expected at least one event type, or no `events` for all",
                ],
            ),
            (
                "deliver = [{ events = 1 }, 7]",
                &[
                    "routes.toml:2:12: routes.a.deliver[0].to: missing, expected the name of a target",
                    r#"routes.toml:2:23: routes.a.deliver[0].events: found `events` on a route without `event_type`, expected `event_type = { json = "/event" }` on the route"#,
                    r#"routes.toml:2:23: routes.a.deliver[0].events: found 1, expected a list of event types such as ["push", "issue*"]"#,
                    r#"routes.toml:2:28: routes.a.deliver[1]: found 7, expected the name of a target, or { to = "crm", events = ["push"] }"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", whem = ".a" }]"#,
                &[
                    "routes.toml:2:26: routes.a.deliver[0].whem: found an unknown key; did you mean `when`?",
                ],
            ),
            (
                r#"deliver = [{ to = "crm", where = ".a" }]"#,
                &[
                    "routes.toml:2:26: routes.a.deliver[0].where: found an unknown key, expected `to`, `events`, `order_by`, `on_dead`, `when` or `transform`",
                ],
            ),
            (
                r#"deliver = [{ to = "crm", when = 1, transform = [] }]"#,
                &[
                    r#"routes.toml:2:33: routes.a.deliver[0].when: found 1, expected an expression of jq such as '.priority == "high"'"#,
                    r#"routes.toml:2:48: routes.a.deliver[0].transform: found a list, expected an expression of jq such as '.priority == "high"'"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", when = '.priority == ' }]"#,
                &[
                    "routes.toml:2:33: routes.a.deliver[0].when: found the end (line 1, column 14 of the expression), expected term",
                ],
            ),
            (
                r#"deliver = [{ to = "crm", transform = '.a | ascii_downcas' }]"#,
                &[
                    "routes.toml:2:38: routes.a.deliver[0].transform: found `ascii_downcas` (line 1, column 6 of the expression), expected a function that is known; did you mean `ascii_downcase`?",
                ],
            ),
            (
                "deliver = [{ to = \"crm\", transform = \"\"\"\n{\n  home: env.HOME,\n  at: now\n}\"\"\" }]",
                &[
                    "routes.toml:2:38: routes.a.deliver[0].transform: found `env`, which reaches outside of the event (line 2, column 9 of the expression), expected what the event alone decides",
                    "routes.toml:2:38: routes.a.deliver[0].transform: found `now`, which reaches outside of the event (line 3, column 7 of the expression), expected what the event alone decides",
                ],
            ),
            (
                r#"content = ["any"]
event_id = { body = "sha256" }
deliver = [{ to = "crm", when = ".a", transform = ".b" }]"#,
                &[
                    r#"routes.toml:2:11: routes.a.content: found only "any", of which nothing is read, beside `when`, `transform` that reads the payload, expected "json", "form" or "xml" too"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", order_by = "customerId" }]"#,
                &[
                    r#"routes.toml:2:37: routes.a.deliver[0].order_by: found "customerId", expected a JSON pointer such as "/id" (a JSON pointer begins with `/`)"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", order_by = "" }]"#,
                &[
                    r#"routes.toml:2:37: routes.a.deliver[0].order_by: found "", expected a JSON pointer such as "/customerId", not the whole document"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", order_by = "/*/id" }]"#,
                &[
                    r#"routes.toml:2:37: routes.a.deliver[0].order_by: found "/*/id", expected a JSON pointer to one place: `*` is only for `event_id` and `event_type`"#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", order_by = { json = "/customerId" }, on_dead = "hold" }]"#,
                &[
                    r#"routes.toml:2:37: routes.a.deliver[0].order_by: found a table, expected a JSON pointer such as "/id""#,
                ],
            ),
            (
                r#"deliver = [{ to = "crm", on_dead = "hold" }]"#,
                &[
                    "routes.toml:2:12: routes.a.deliver[0].order_by: missing, expected the JSON pointer whose equal values are in order",
                ],
            ),
            (
                r#"deliver = [{ to = "crm", order_by = "/customerId", on_dead = "wait" }]"#,
                &[
                    r#"routes.toml:2:62: routes.a.deliver[0].on_dead: found "wait", expected "continue" or "hold""#,
                ],
            ),
            (
                r#"deliver = "crm""#,
                &[
                    r#"routes.toml:2:11: routes.a.deliver: found "crm", expected a list of targets such as ["crm"]; [] stores events and sends them nowhere"#,
                ],
            ),
        ],
    );
}

#[test]
fn a_route_delivers_to_as_many_targets_as_every_store_takes() {
    let with = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("\"t{n}\"")).collect();
        let deliver = route(&format!("deliver = [{}]", names.join(", ")));
        let targets =
            (0..count).map(|n| format!("[targets.t{n}]\nurl = \"https://t.example.com\"\n"));
        deliver + &targets.collect::<String>()
    };
    assert!(parse(&with(1024)).is_ok());
    assert_eq!(
        told(&with(1025)),
        ["routes.toml:2:11: routes.a.deliver: found 1025 targets, expected at most 1024"]
    );
}

#[test]
fn a_preset_s_id_in_a_header_is_one_for_all_elements() {
    let github = |lines: &str| {
        format!(
            "[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{{ env = \"SECRET\" }}]\ndeliver = []\nsplit = \"\"\ncontent = [\"json\"]\n{lines}"
        )
    };
    let [told] = &told(&github(""))[..] else {
        panic!("one fault");
    };
    assert!(
        told.contains("routes.a.split: found `split` beside an event id"),
        "{told}"
    );
    assert!(parse(&github("event_id = { json = \"/id\" }")).is_ok());
}
