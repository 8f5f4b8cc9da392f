//! `/api/v1/secrets`: the secrets that came in handshakes, and the routes that wait for one.

use std::cmp::Ordering;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Json, Path},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    State,
    guard::{MayChange, MayRead},
    moment::Moment,
    parameters::{PageQuery, Parameters, page},
    problem::Problem,
};
use crate::ingest::Standing;

/// One page of the routes that take their secret from a handshake, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretPage {
    secrets: Vec<SecretShown>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
}

/// How a route stands with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = SecretStanding)]
struct SecretShown {
    route: String,
    state: SecretState,
    /// `null` while it waits.
    received_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SecretState {
    /// For its provider's handshake.
    Waiting,
    Kept,
    /// Kept for a route that no longer takes it so.
    Unused,
}

/// A secret that came in a handshake.
#[derive(Serialize, ToSchema)]
pub(super) struct Secret {
    route: String,
    received_at: Moment,
    secret: String,
}

/// The routes that take their secret from a handshake, without their secrets.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "secrets", operation_id = "list_secrets", params(PageQuery),
    responses((status = 200, description = "One page", body = SecretPage, links(
        ("secret" = (operation_id = "get_secret", parameters(("route" = "$response.body#/secrets/0/route")))),
    ))))]
pub(super) async fn list(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<SecretPage>, Problem> {
    let paging = Parameters::of::<PageQuery>(&request)?.paging()?;
    let mut standings = standings(&state).await?;
    standings.sort_by(|a, b| a.route.cmp(&b.route));
    let (standings, next) = page(
        standings,
        Ordering::Greater,
        |one| one.route.to_string(),
        &paging,
    );
    Ok(Json(SecretPage {
        secrets: standings.iter().map(SecretShown::of).collect(),
        next,
    }))
}

/// A route's secret: some must be pasted by a human where the provider asks for them. Needs the role `write`.
#[utoipa::path(get, path = "/api/v1/secrets/{route}", tag = "secrets", operation_id = "get_secret",
    params(("route" = String, Path, description = "The route")),
    responses(
        (status = 200, description = "The secret", body = Secret),
        (status = 404, description = "None is kept"),
    ))]
pub(super) async fn get(
    may: MayChange,
    route: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    let route = route.into_inner();
    let standings = standings(&state).await?;
    let of_route = standings.into_iter().find(|one| *one.route == *route);
    let kept = of_route.and_then(|one| one.kept);
    let kept = kept.ok_or_else(|| Problem::unknown("A secret of this route"))?;
    tracing::info!(by = %may.by, route, "a secret from a handshake was shown by the API");
    let shown = Secret {
        received_at: kept.received_at.into(),
        // A header or a JSON string gave it.
        secret: String::from_utf8_lossy(kept.secret.expose()).into_owned(),
        route,
    };
    let mut answer = HttpResponse::build(StatusCode::OK);
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(answer.json(shown))
}

/// The route's events are refused from then on, until another handshake comes.
#[utoipa::path(delete, path = "/api/v1/secrets/{route}", tag = "secrets", operation_id = "forget_secret",
    params(("route" = String, Path, description = "The route")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "None is kept"),
    ))]
pub(super) async fn forget(
    may: MayChange,
    route: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    let route = route.into_inner();
    let secrets = state.sources.gate.secrets();
    match secrets.forget(&route.as_str().into()).await? {
        true => {
            tracing::warn!(by = %may.by, route, "a secret from a handshake was forgotten by the API");
            Ok(HttpResponse::NoContent().finish())
        }
        false => Err(Problem::unknown("A secret of this route")),
    }
}

async fn standings(state: &State) -> Result<Vec<Standing>, Problem> {
    Ok(state.sources.gate.secrets().standings().await?)
}

impl SecretShown {
    fn of(standing: &Standing) -> Self {
        Self {
            route: standing.route.to_string(),
            state: match (&standing.kept, standing.configured) {
                (None, _) => SecretState::Waiting,
                (Some(_), true) => SecretState::Kept,
                (Some(_), false) => SecretState::Unused,
            },
            received_at: standing.kept.as_ref().map(|kept| kept.received_at.into()),
        }
    }
}
