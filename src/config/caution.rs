//! What loads but should be known: each warning says where, what, and the next step.

use std::time::Duration;

use x509_parser::prelude::parse_x509_certificate;

use super::{
    EventIdSource, Field, Route, Verifier, Verify,
    reader::{Node, Place},
    scalar::{DAY, shown},
};
use crate::{
    clock::Timestamp,
    providers::{Asked, BodyCoverage, Id, Preset, scheme_coverage},
    signature::Validity,
};

/// What ends within this long should have a successor by now.
const NEAR: Duration = DAY.saturating_mul(30);

/// Where the keys of a route stand that a warning can be about; the route itself where they do not.
pub(super) struct Places<'a> {
    pub(super) route: Place<'a>,
    pub(super) verify: Option<Place<'a>>,
    pub(super) event_id: Option<Place<'a>>,
    pub(super) dedupe_window: Option<Place<'a>>,
    pub(super) deliver: Option<Place<'a>>,
}

/// What is well-formed in a route, and yet may not be what its operator wants.
pub(super) fn check_route(route: &Route, preset: Option<&Preset>, places: &Places<'_>) {
    // What is missing may only be misspelt.
    if !places.route.context.is_clean() {
        return;
    }
    let is_open = matches!(route.verify, Verify::Nobody) && preset.is_none();
    if is_open
        && route.allow_from.is_empty()
        && let Some(place) = &places.verify
    {
        place.warn(
            "whoever knows the address may send events",
            "name a `provider` or how callers prove themselves; at least `allow_from`",
        );
    }
    if route.deliver.is_empty()
        && let Some(place) = &places.deliver
    {
        place.warn(
            "events are stored and sent to nobody",
            "name targets; those that are added later get what is accepted from then on",
        );
    }
    if let Some(scheme) = uncovered(route) {
        let place = places.event_id.as_ref().unwrap_or(&places.route);
        place.warn(
            format!(
                "the signature ({scheme}) does not cover the event id: whoever has caught a request can send it as another event"
            ),
            "event_id = { body = \"sha256\" }, or a place within what is signed, if the provider has one",
        );
    }
    check_window(route, preset, places);
}

/// The name of a scheme that covers something of the body, but not the id; none where another verifier covers it.
fn uncovered(route: &Route) -> Option<String> {
    let Verify::All(verifiers) = &route.verify else {
        return None;
    };
    let ids: Vec<_> = route.event_id.iter().map(id).collect();
    let mut found = None;
    for verifier in verifiers {
        let Verifier::Signature(verifier) = verifier else {
            continue;
        };
        let mut schemes = verifier.schemes.iter().map(|keyed| {
            let coverage = scheme_coverage(&keyed.scheme, &ids);
            (&keyed.scheme.name, coverage)
        });
        let lacking =
            schemes.find(|(_, coverage)| !coverage.id && coverage.body != BodyCoverage::Nothing);
        match lacking {
            Some((name, _)) => found = Some(name.to_string()),
            None => return None,
        }
    }
    found
}

fn id(source: &EventIdSource) -> Id<'_> {
    match source {
        EventIdSource::Fields(fields) => Id::Fields(fields.iter().map(field_of).collect()),
        EventIdSource::BodySha256 => Id::BodySha256,
    }
}

fn field_of(field: &Field) -> Asked<'_> {
    match field {
        Field::Json(pointer) => Asked::Json(pointer.as_str()),
        Field::Header(name) => Asked::Header(name),
    }
}

/// A provider that goes on after its ids are forgotten has its events accepted twice.
fn check_window(route: &Route, preset: Option<&Preset>, places: &Places<'_>) {
    let Some(preset) = preset else { return };
    let Some(retried_for) = preset.retried_for else {
        return;
    };
    // Some presets remember for a second, on purpose.
    let is_own = places.dedupe_window.is_none() && preset.dedupe_window.is_some();
    if is_own || route.dedupe_window >= retried_for {
        return;
    }
    let place = places.dedupe_window.as_ref().unwrap_or(&places.route);
    place.warn(
        format!(
            "event ids are remembered for {}, and {} may send an event again for {}: then it is accepted twice",
            shown(route.dedupe_window),
            preset.title,
            shown(retried_for)
        ),
        format!("dedupe_window = \"{}\", or longer", shown(retried_for)),
    );
}

/// Cleartext over networks that are not the operator's. `allow_private` decides whether the address is one of those: without
/// it, only public ones are connected to.
pub(super) fn check_cleartext(url: &url::Url, allow_private: bool, place: &Place<'_>) {
    if url.scheme() == "http" && !allow_private {
        place.warn(
            "events, and the target's headers, go over public networks in cleartext",
            "an https `url`, or `allow_private = true` if the target is in a network of your own",
        );
    }
}

/// A target that no route names.
pub(super) fn check_used(place: &Place<'_>) {
    place.warn(
        "no route delivers to it",
        "name it in a route's `deliver`, or remove it: what waits for it becomes dead letters that can be replayed",
    );
}

/// Credentials of one list, each with its place: those that have ended, and those of which the last ends soon.
pub(super) fn check_ends(credentials: &[(Place<'_>, Validity)]) {
    let ends = |(_, validity): &(Place<'_>, Validity)| validity.not_after;
    let outlasts = |now: Timestamp| {
        credentials
            .iter()
            .any(|one| ends(one).is_none_or(|end| end > now.saturating_add(NEAR)))
    };
    for one in credentials {
        let (place, now) = (&one.0, one.0.context.now);
        match ends(one) {
            Some(end) if end <= now => place.warn(
                format!("it ended at {end} and proves nothing any more"),
                "remove it, or name its successor",
            ),
            Some(end) if end <= now.saturating_add(NEAR) && !outlasts(now) => place.warn(
                format!(
                    "it ends at {end}, in {}, and nothing beside it stays",
                    days(end.since(now))
                ),
                "add its successor beside it, and give that one to the other side",
            ),
            _ => {}
        }
    }
}

/// A certificate that proves the gateway, or a chain up from it: the first of them to end.
pub(super) fn check_chain<'d>(node: &Node<'_>, chain: impl Iterator<Item = &'d [u8]>) {
    let end = chain.filter_map(end_of).min();
    warn_of_end(node, end, "a certificate of it");
}

/// Authorities: they vouch until the last of them has ended.
pub(super) fn check_authorities<'d>(node: &Node<'_>, chain: impl Iterator<Item = &'d [u8]>) {
    let end = chain.filter_map(end_of).max();
    warn_of_end(node, end, "the last authority in it");
}

fn warn_of_end(node: &Node<'_>, end: Option<Timestamp>, what: &str) {
    const NEXT: &str = "put a new one there: it is taken up with the next reload";
    const NEXT_OF_STORE: &str = "put a new one there, and start the gateway anew";
    let is_store = node.place.path.starts_with("store.");
    let next = if is_store { NEXT_OF_STORE } else { NEXT };
    let now = node.place.context.now;
    match end {
        Some(end) if end <= now => {
            node.place.warn(format!("{what} expired at {end}"), next);
        }
        Some(end) if end <= now.saturating_add(NEAR) => {
            let left = days(end.since(now));
            node.place
                .warn(format!("{what} expires at {end}, in {left}"), next);
        }
        _ => {}
    }
}

fn end_of(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let end = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_secs(end))
}

fn days(left: Duration) -> String {
    match left.as_secs() / DAY.as_secs() {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
