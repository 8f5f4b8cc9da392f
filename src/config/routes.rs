//! `[routes.NAME]`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Fingerprint, Respond, RespondBody, Route,
    caution::{Places, check_route},
    deliver::{read_deliver, read_rate, read_respond},
    identity::{pointer, read_event_id, read_event_type},
    payload::{check_content, check_split, read_content, read_require, read_schemas},
    reader::{Named, Node, Place, Table, quoted},
    scalar::{NAME_SHAPE, is_name},
    server::bytes,
    store::KEPT_MAX,
    targets::is_ours,
    verify::{Proven, read_proof},
};
use crate::{event::RouteName, payload::Content, providers::Preset};

/// What routes take from elsewhere in the file.
pub(super) struct Inherited<'t> {
    pub(super) max_body: usize,
    pub(super) max_body_in_flight: usize,
    pub(super) dedupe_window: Duration,
    /// Whether callers may show certificates.
    pub(super) takes_certificates: bool,
    /// Of the server.
    pub(super) public_url: Option<&'t url::Url>,
    /// Of all targets.
    pub(super) targets: &'t [String],
}

const PATH_SHAPE: &str = "a path such as \"/hooks/crm\" of ASCII without `?`, `#`, `*` and spaces";

pub(super) const ROUTES_SHAPE: &str =
    "at least one [routes.NAME]: else there is nothing to receive";

/// In the order of the files.
pub(super) fn read_routes(entries: Vec<Named<'_>>, inherited: &Inherited<'_>) -> Vec<Arc<Route>> {
    let mut addresses = Addresses::default();
    let mut routes = Vec::new();
    for (name, place, node) in entries {
        if !is_name(&name) {
            place.fault(quoted(&name), NAME_SHAPE);
        }
        let route = node
            .table("a table")
            .map(|table| read_route(name.as_str().into(), table, inherited, &mut addresses));
        routes.extend(route.map(Arc::new));
    }
    routes
}

/// Faults leave defaults in their places, so that one of them does not hide the next.
fn read_route(
    name: RouteName,
    mut table: Table<'_>,
    inherited: &Inherited<'_>,
    addresses: &mut Addresses,
) -> Route {
    let witness = table.witness();
    let places = Places {
        route: table.place.clone(),
        verify: table.place_of("verify"),
        event_id: table.place_of("event_id"),
        dedupe_window: table.place_of("dedupe_window"),
        deliver: table.place_of("deliver"),
    };
    let methods = read_methods(table.take("methods"));
    let path = read_path(&mut table);
    if let Some((path, place)) = &path {
        addresses.take(&name, path, &methods, place);
    }
    let proof = read_proof(&mut table);
    if proof.reads_query() && methods.iter().any(|method| method == "GET") {
        table.place.fault(
            "`query_key` on a route that takes GET, whose query string is the payload",
            "another verifier, or no GET: else the key would be stored and sent on",
        );
    }
    if proof.asks_for_certificate() && !inherited.takes_certificates {
        table.place.fault(
            "`client_certificate` without `server.tls.client_ca`",
            "`client_ca = \"clients.pem\"` in [server.tls]: who may vouch for callers",
        );
    }
    let preset = proof.preset;
    let public_url = match table.take("public_url") {
        Some(node) => read_public_url(&node),
        None => {
            let url = inherited_url(path.as_ref().map(|(path, _)| path), inherited);
            if url.is_none() && proof.signs_address() {
                let shape = "the address that the provider calls and signs, such as \"https://hooks.example.com/hooks/crm\", or `public_url` in [server]";
                table.place.missing("public_url", shape);
            }
            url
        }
    };
    let event_id = read_event_id(&mut table, &proof);
    let (event_type, typed) = read_event_type(&mut table, &proof);
    let content = table.take("content");
    let split = table.take("split");
    let content_place = content
        .as_ref()
        .map_or(&table.place, |node| &node.place)
        .clone();
    let mut route = Route {
        name,
        provider: preset.map(|preset| preset.name),
        path: path.map(|(path, _)| path).unwrap_or_default(),
        methods,
        content: read_content(
            content,
            preset.map_or(&[Content::Json], |preset| preset.content),
        ),
        json_types: read_json_types(table.take("json_types"), preset),
        split: split.as_ref().and_then(pointer),
        max_body: read_max_body(&mut table, inherited),
        event_id,
        event_type,
        keep_headers: read_keep_headers(table.take("keep_headers"), &proof),
        verify: proof.verify,
        public_url,
        handshakes: preset.map_or(&[], |preset| preset.handshakes),
        verify_token: proof.verify_token,
        dedupe_window: table.duration(
            "dedupe_window",
            preset
                .and_then(|preset| preset.dedupe_window)
                .unwrap_or(inherited.dedupe_window),
            KEPT_MAX,
        ),
        require: table.take("require").map(read_require).unwrap_or_default(),
        schema: table.take("schema").map(|node| read_schemas(node, typed)),
        deliver: read_deliver(&mut table, inherited.targets, typed),
        allow_from: table
            .take("allow_from")
            .map(Node::networks)
            .unwrap_or_default(),
        rate: table.take("rate").and_then(read_rate),
        respond: table
            .take("respond")
            .map_or_else(|| preset_respond(preset), read_respond),
        enabled: table.flag("enabled", true),
        keep_rejected: table.flag("keep_rejected", false),
        fingerprint: Fingerprint::of(&[]),
    };
    table.finish();
    let inherited = (&route.public_url, route.max_body, route.dedupe_window);
    route.fingerprint = witness.fingerprint(&format!("{inherited:?}"));
    check_content(&route, &content_place);
    if let Some(split) = split {
        check_split(&route, &split.place);
    }
    check_route(&route, preset, &places);
    route
}

fn read_path<'a>(table: &mut Table<'a>) -> Option<(String, Place<'a>)> {
    let node = table.require("path", PATH_SHAPE)?;
    let path = node.parse(PATH_SHAPE, |text| is_path(text).then(|| text.to_owned()))?;
    Some((path, node.place))
}

/// What the route says. Requests' query strings are appended to it.
fn read_public_url(node: &Node<'_>) -> Option<url::Url> {
    let url = node.http_url()?;
    if url.query().is_some() {
        node.place.fault("a URL with a query", "a URL without one");
    }
    Some(url)
}

/// The gateway's address and the route's path.
fn inherited_url(path: Option<&String>, inherited: &Inherited<'_>) -> Option<url::Url> {
    let mut url = inherited.public_url?.clone();
    let path = format!("{}{}", url.path().trim_end_matches('/'), path?);
    url.set_path(&path);
    Some(url)
}

/// The preset's, or those that the file names.
fn read_json_types(node: Option<Node<'_>>, preset: Option<&Preset>) -> Vec<String> {
    const SHAPE: &str = "a list of content types such as [\"text/plain\"]";
    let Some(node) = node else {
        let types = preset.map_or(&[][..], |preset| preset.json_types);
        return types.iter().map(|&name| name.to_owned()).collect();
    };
    let items = node.list(SHAPE).unwrap_or_default();
    let is_type = |text: &str| {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        let (kind, subtype) = text.split_once('/').unwrap_or_default();
        !kind.is_empty() && !subtype.is_empty() && (kind.to_owned() + subtype).chars().all(token)
    };
    let named = |item: &Node<'_>| {
        item.parse(
            "a content type without parameters, such as \"text/plain\"",
            |text| is_type(text).then(|| text.to_ascii_lowercase()),
        )
    };
    items.iter().filter_map(named).collect()
}

fn preset_respond(preset: Option<&Preset>) -> Respond {
    let own = preset.and_then(|preset| preset.respond);
    Respond {
        body: own.map(|(content_type, body)| RespondBody {
            content_type: content_type.to_owned(),
            body: body.to_owned(),
        }),
        ..Respond::default()
    }
}

fn is_path(text: &str) -> bool {
    let taken = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*');
    text.starts_with('/') && text.len() <= 1024 && text.bytes().all(taken)
}

/// Who is called at which path and by which methods.
#[derive(Default)]
struct Addresses(HashMap<String, Vec<(RouteName, Vec<String>)>>);

impl Addresses {
    fn take(&mut self, route: &RouteName, path: &str, methods: &[String], place: &Place<'_>) {
        let others = self.0.entry(path.to_owned()).or_default();
        let meets = |(_, theirs): &&(RouteName, Vec<String>)| {
            theirs.iter().any(|method| methods.contains(method))
        };
        if let Some((other, _)) = others.iter().find(meets) {
            let found = format!("{}, the path of routes.{other}", quoted(path));
            place.fault(found, "another path, or other methods");
        }
        others.push((route.clone(), methods.to_vec()));
    }
}

fn read_methods(node: Option<Node<'_>>) -> Vec<String> {
    const KNOWN: [(&str, &str); 4] = [
        ("POST", "POST"),
        ("PUT", "PUT"),
        ("PATCH", "PATCH"),
        ("GET", "GET"),
    ];
    let post = || vec!["POST".to_owned()];
    let Some(node) = node else { return post() };
    let place = node.place.clone();
    let Some(items) = node.list("a list such as [\"POST\"]") else {
        return post();
    };
    if items.is_empty() {
        place.fault("an empty list", "at least one method");
    }
    let methods = items.iter().filter_map(|item| item.choice(&KNOWN));
    methods.map(str::to_owned).collect()
}

/// A body that is larger than all that may be in flight could never be taken.
fn read_max_body(table: &mut Table<'_>, inherited: &Inherited<'_>) -> usize {
    let Some(node) = table.take("max_body") else {
        return inherited.max_body;
    };
    let max_body = node.size().map_or(inherited.max_body, bytes);
    if max_body > inherited.max_body_in_flight {
        node.reject("at most server.max_body_in_flight");
    }
    max_body
}

/// The preset's, and those that the file names. Credentials are never kept.
fn read_keep_headers(node: Option<Node<'_>>, proof: &Proven) -> Vec<String> {
    const SHAPE: &str = "a list of headers such as [\"X-Tenant\"]";
    let preset = proof.preset.map_or(&[][..], |preset| preset.keep_headers);
    let mut headers: Vec<String> = preset.iter().map(|&name| name.to_owned()).collect();
    for item in node.and_then(|node| node.list(SHAPE)).unwrap_or_default() {
        let Some(name) = item.header_name() else {
            continue;
        };
        if is_credential(&name) || proof.holds_credential(&name) {
            item.reject("a header that holds no credentials");
        } else if is_ours(&name) || name == "content-type" {
            item.reject("a header that Hookgate does not send by itself");
        } else if !headers.contains(&name) {
            headers.push(name);
        }
    }
    headers
}

fn is_credential(header: &str) -> bool {
    const NAMES: [&str; 4] = [
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
    ];
    NAMES.contains(&header)
}
