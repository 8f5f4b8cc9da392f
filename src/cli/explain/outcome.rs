//! What would come of the request as a whole.

use crate::ingest::steps::Step;

use super::{capture::Capture, report::Told};
use crate::{cli::rehearsal::Outcome, config::Route, event::Event, ingest::rejection::Detail};

/// What the gateway would answer, without what it would tell of the body.
pub(super) fn told(outcome: &Outcome) -> Told {
    let rejection = match outcome {
        Err(rejection) => rejection,
        Ok(taken) => return accepted(taken.events.iter().map(|one| &*one.event)),
    };
    let mut steps = Vec::new();
    match &rejection.detail {
        Detail::Violations(violations) => {
            steps.extend(violations.iter().map(|violation| {
                let told = format!("{} {}", violation.pointer, violation.message);
                Step::new("violation", false, told)
            }));
        }
        Detail::Position {
            line,
            column,
            message,
        } => {
            let told = format!("line {line}, column {column}: {message}");
            steps.push(Step::new("body", false, told));
        }
        Detail::Told(words) => steps.push(Step::new("request", false, words.clone())),
        _ => {}
    }
    let reason = rejection.reason.as_str();
    Told {
        accepted: false,
        status: rejection.reason.status(),
        reason: Some(reason),
        told: format!("refused: {reason}"),
        events: steps,
    }
}

fn accepted<'e>(events: impl Iterator<Item = &'e Event>) -> Told {
    let steps: Vec<_> = events
        .map(|event| {
            let named = match &event.event_type {
                Some(_) => "and a type",
                None => "and no type",
            };
            let targets: Vec<_> = event.deliveries.iter().map(|one| &*one.target).collect();
            let targets = match targets.is_empty() {
                true => "no target".to_owned(),
                false => targets.join(", "),
            };
            let told = format!(
                "an id of {} characters {named}; for {targets}",
                event.id.chars().count()
            );
            Step::new("event", true, told)
        })
        .collect();
    let told = match steps.len() {
        0 => "answered, without an event: a handshake, or an empty list".to_owned(),
        1 => "accepted, unless the id is known already".to_owned(),
        count => format!("accepted: {count} events, but for those whose ids are known already"),
    };
    Told {
        accepted: true,
        status: 200,
        reason: None,
        told,
        events: steps,
    }
}

pub(super) fn notes(route: &Route, capture: &Capture, is_provider: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !is_provider && capture.path != route.path {
        notes.push(format!(
            "the request went to {}, the route's path is {}: told is what would come of it there",
            capture.path, route.path
        ));
    }
    if !route.allow_from.is_empty() {
        notes.push(
            "the caller's address (allow_from) is not judged: no capture tells it".to_owned(),
        );
    }
    if !capture.body_is_exact && !capture.body.is_empty() {
        notes.push(
            "whether the captured body is exact to the last byte is not known; --body FILE gives the bytes"
                .to_owned(),
        );
    }
    notes
}
