//! `/api/v1/secrets`: the secrets that came in handshakes, and the routes that wait for one.

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Path},
};
use serde_json::{Value, json};

use super::{
    State,
    guard::{MayChange, MayRead},
    problem::Problem,
};
use crate::ingest::Standing;

/// With the secrets themselves: some must be pasted by a human where the provider asks for them.
pub(super) async fn list(_: MayRead, state: Data<State>) -> Result<HttpResponse, Problem> {
    let standings = state.sources.gate.secrets().standings().await?;
    let secrets: Vec<_> = standings.iter().map(show).collect();
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "secrets": secrets })))
}

/// The route's events are refused from then on, until another handshake comes.
pub(super) async fn forget(
    _: MayChange,
    route: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let route = route.into_inner();
    match state
        .sources
        .gate
        .secrets()
        .forget(&route.as_str().into())
        .await?
    {
        true => {
            tracing::warn!(route, "a secret from a handshake was forgotten by the API");
            Ok(HttpResponse::NoContent().finish())
        }
        false => Err(Problem::unknown("A secret of this route")),
    }
}

fn show(standing: &Standing) -> Value {
    let route = &*standing.route;
    let Some(kept) = &standing.kept else {
        return json!({ "route": route, "state": "waiting" });
    };
    json!({
        "route": route,
        "state": if standing.configured { "kept" } else { "unused" },
        "received_at": kept.received_at.to_string(),
        // A header or a JSON string gave it.
        "secret": String::from_utf8_lossy(kept.secret.expose()),
    })
}
