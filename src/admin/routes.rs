//! `/api/v1/routes`: what providers call.

use std::cmp::Ordering;

use actix_web::{
    HttpRequest,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    State,
    guard::MayRead,
    parameters::{PageQuery, Parameters, page},
    problem::Problem,
};
use crate::config::{Route, Verifier, Verify};

/// One page of routes, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct RoutePage {
    routes: Vec<RouteShown>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Route)]
struct RouteShown {
    name: String,
    path: String,
    methods: Vec<String>,
    /// The preset that it takes.
    provider: Option<&'static str>,
    /// All must pass. Empty: anyone may send.
    verifiers: Vec<VerifierShown>,
    /// Where its events go.
    targets: Vec<String>,
    /// False: requests are refused.
    enabled: bool,
    max_body_bytes: usize,
    dedupe_window_seconds: u64,
    /// Whether the bodies of refused requests are kept with their records.
    keep_rejected: bool,
}

/// One thing that a caller proves itself with. Its secrets are named, never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Verifier)]
struct VerifierShown {
    kind: VerifierKind,
    /// The names of the secrets and keys of which one must match.
    credentials: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum VerifierKind {
    ApiKey,
    Basic,
    Bearer,
    ClientCertificate,
    Jwt,
    QueryKey,
    Signature,
}

/// What providers call.
#[utoipa::path(get, path = "/api/v1/routes", tag = "configuration", operation_id = "list_routes", params(PageQuery),
    responses((status = 200, description = "One page", body = RoutePage)))]
pub(super) async fn list(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<RoutePage>, Problem> {
    let paging = Parameters::of::<PageQuery>(&request)?.paging()?;
    let config = state.sources.control.config();
    let mut routes: Vec<_> = config.routes.iter().collect();
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    let (routes, next) = page(
        routes,
        Ordering::Greater,
        |route| route.name.to_string(),
        &paging,
    );
    Ok(Json(RoutePage {
        routes: routes
            .into_iter()
            .map(|route| RouteShown::of(route))
            .collect(),
        next,
    }))
}

impl RouteShown {
    fn of(route: &Route) -> Self {
        let verifiers: &[_] = match &route.verify {
            Verify::Nobody => &[],
            Verify::All(verifiers) => verifiers,
        };
        let targets = route.deliver.iter();
        Self {
            name: route.name.to_string(),
            path: route.path.clone(),
            methods: route.methods.clone(),
            provider: route.provider,
            verifiers: verifiers.iter().map(VerifierShown::of).collect(),
            targets: targets.map(|deliver| deliver.to.to_string()).collect(),
            enabled: route.enabled,
            max_body_bytes: route.max_body,
            dedupe_window_seconds: route.dedupe_window.as_secs(),
            keep_rejected: route.keep_rejected,
        }
    }
}

impl VerifierShown {
    fn of(verifier: &Verifier) -> Self {
        let credentials = verifier.credentials();
        Self {
            kind: match verifier {
                Verifier::ApiKey { .. } => VerifierKind::ApiKey,
                Verifier::Basic { .. } => VerifierKind::Basic,
                Verifier::Bearer { .. } => VerifierKind::Bearer,
                Verifier::ClientCertificate { .. } => VerifierKind::ClientCertificate,
                Verifier::Jwt(_) => VerifierKind::Jwt,
                Verifier::QueryKey { .. } => VerifierKind::QueryKey,
                Verifier::Signature(_) => VerifierKind::Signature,
            },
            credentials: credentials.iter().map(|name| name.to_string()).collect(),
        }
    }
}
