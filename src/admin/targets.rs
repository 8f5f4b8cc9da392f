//! `GET /api/v1/targets`: how each target stands.

use std::time::Instant;

use actix_web::{HttpResponse, web::Data};
use serde_json::{Value, json};

use super::{State, guard::MayRead, problem::Problem};
use crate::{
    config::Target,
    store::{
        Depth,
        handover::{Circuit, Gate},
    },
};

pub(super) async fn list(_: MayRead, state: Data<State>) -> Result<HttpResponse, Problem> {
    let sources = &state.sources;
    let names: Vec<_> = sources
        .targets
        .iter()
        .map(|target| target.name.clone())
        .collect();
    let depths = sources.store.depth(&names).await?;
    let targets = sources.targets.iter().zip(depths);
    let targets: Vec<_> = targets
        .map(|(target, depth)| show(&state, target, depth))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "targets": targets })))
}

/// Of the URL only the host: paths and queries of webhook addresses are often secret.
fn show(state: &State, target: &Target, depth: Depth) -> Value {
    let sources = &state.sources;
    let gate = sources.lanes.gate(&target.name);
    let metrics = sources.metrics.target(&target.name);
    json!({
        "name": &*target.name,
        "host": target.url.host_str(),
        "paused": gate.as_ref().is_some_and(|gate| gate.is_paused()),
        "circuit": gate.map(|gate| circuit(state, &gate)),
        "in_flight": metrics.map_or(0, |metrics| metrics.in_flight.get()),
        "pending": depth.pending,
        "dead": depth.dead,
        "oldest_due_seconds": depth.oldest_due.as_secs_f64(),
    })
}

fn circuit(state: &State, gate: &Gate) -> Value {
    let now = Instant::now();
    match gate.circuit(now) {
        Circuit::Closed => json!({ "state": "closed" }),
        Circuit::HalfOpen => json!({ "state": "half_open" }),
        Circuit::Open(until) => {
            let left = until.saturating_duration_since(now);
            let until = state.sources.clock.now().saturating_add(left);
            json!({ "state": "open", "until": until.to_string() })
        }
    }
}
