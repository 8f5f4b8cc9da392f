//! The steps of a verification, each told in one line.

use serde::Serialize;

use crate::{
    clock::Timestamp,
    config::SignatureVerifier,
    signature::{Applies, Explanation, Judged, Method, Source, Time, Tried},
};

/// One step of a verification.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub step: &'static str,
    /// `None`: it is told, not judged.
    pub ok: Option<bool>,
    pub told: String,
}

impl Step {
    pub fn new(step: &'static str, ok: impl Into<Option<bool>>, told: impl Into<String>) -> Self {
        Self {
            step,
            ok: ok.into(),
            told: told.into(),
        }
    }
}

pub fn of_signature(
    verifier: &SignatureVerifier,
    explanation: &Explanation,
    now: Timestamp,
) -> Vec<Step> {
    let mut steps = vec![which_scheme(verifier, explanation)];
    let Some(judged) = &explanation.judged else {
        return steps;
    };
    let keyed = &verifier.schemes[judged.scheme];
    steps.push(header(judged, &keyed.scheme.signature));
    if judged.found.is_empty() {
        return steps;
    }
    if let Some((at, count)) = judged.element {
        let told = format!(
            "each of {count} elements must be signed; this is of number {}",
            at + 1
        );
        steps.push(Step::new("elements", count > 0, told));
    }
    steps.push(form(judged));
    steps.extend(judged.time.as_ref().map(|found| time(found, now)));
    steps.extend(content(judged));
    if keyed.scheme.method != Method::Equal {
        steps.push(digest(judged));
    }
    steps.push(secret(judged));
    steps
}

fn which_scheme(verifier: &SignatureVerifier, explanation: &Explanation) -> Step {
    let names: Vec<_> = verifier
        .schemes
        .iter()
        .map(|keyed| &*keyed.scheme.name)
        .collect();
    let lacks: Vec<_> = names
        .iter()
        .zip(&explanation.applies)
        .filter_map(|(name, applies)| match applies {
            Applies::Not(lack) => Some(format!("{name} needs {lack}")),
            Applies::Judges | Applies::Later => None,
        })
        .collect();
    let lacks = lacks.join("; ");
    match &explanation.judged {
        None => Step::new("scheme", false, format!("none applies: {lacks}")),
        Some(judged) => {
            let mut told = format!("{} judges", names[judged.scheme]);
            if names.len() > 1 {
                told += ", the first that applies";
            }
            if !lacks.is_empty() {
                told = format!("{told} ({lacks})");
            }
            Step::new("scheme", true, told)
        }
    }
}

fn header(judged: &Judged, source: &Source) -> Step {
    match judged.found.as_slice() {
        [] => Step::new("signature", false, format!("not found: {}", source.told())),
        found => Step::new("signature", true, format!("found in {}", found.join(", "))),
    }
}

fn form(judged: &Judged) -> Step {
    let told = format!(
        "{}: {} of that form, {} of which can be decoded",
        judged.form, judged.entries, judged.decoded
    );
    Step::new("form", judged.decoded > 0, told)
}

fn time(time: &Time, now: Timestamp) -> Step {
    let Some(at) = time.at else {
        let told = format!("{}: missing, or no time", time.place);
        return Step::new("time", false, told);
    };
    let age = match at <= now {
        true => format!("{} s before it was received", now.since(at).as_secs()),
        false => format!("{} s after it was received", at.since(now).as_secs()),
    };
    let bound = |bound: Option<std::time::Duration>| match bound {
        Some(bound) => format!("{} s", bound.as_secs()),
        None => "any time".to_owned(),
    };
    let (past, future) = (bound(time.past), bound(time.future));
    let told = format!(
        "{}: {at}, {age}; taken: {past} before to {future} after",
        time.place
    );
    Step::new("time", time.admitted, told)
}

fn content(judged: &Judged) -> Option<Step> {
    if judged.signed.is_empty() {
        return None;
    }
    let is_whole = judged.missing.is_empty();
    let told = match is_whole {
        true => judged.signed.clone(),
        false => format!(
            "{}; the request lacks {}",
            judged.signed,
            judged.missing.join(", ")
        ),
    };
    Some(Step::new("signed content", is_whole, told))
}

fn digest(judged: &Judged) -> Step {
    let expected: Vec<_> = judged
        .tried
        .iter()
        .filter_map(|tried| Some(format!("{}… by {}", tried.expected.as_ref()?, tried.name)))
        .collect();
    let received: Vec<_> = judged
        .received
        .iter()
        .map(|begin| format!("{begin}…"))
        .collect();
    let received = match received.is_empty() {
        true => "nothing".to_owned(),
        false => received.join(", "),
    };
    let told = match expected.is_empty() {
        true => format!("received {received}"),
        false => format!("expected {}; received {received}", expected.join(", ")),
    };
    let matches = judged.tried.iter().any(|tried| tried.matches);
    Step::new("digest", is_tried(judged).then_some(matches), told)
}

fn secret(judged: &Judged) -> Step {
    let matching = |holds: bool| {
        let mut tried = judged.tried.iter();
        tried.find(|tried| tried.matches && tried.holds == holds)
    };
    match (matching(true), matching(false)) {
        (Some(Tried { name, .. }), _) => Step::new("secret", true, format!("{name} matches")),
        (None, Some(Tried { name, .. })) => {
            let told = format!("{name} matches, but is not in force then");
            Step::new("secret", false, told)
        }
        (None, None) => {
            let names: Vec<_> = judged.tried.iter().map(|tried| &*tried.name).collect();
            match is_tried(judged) {
                true => Step::new(
                    "secret",
                    false,
                    format!("none of {} matches", names.join(", ")),
                ),
                false => Step::new(
                    "secret",
                    None,
                    "not in the configuration: it is fetched, or came with a handshake",
                ),
            }
        }
    }
}

/// False where the configuration holds no key.
fn is_tried(judged: &Judged) -> bool {
    !judged.tried.is_empty()
}
