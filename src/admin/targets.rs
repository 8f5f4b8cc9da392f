//! `/api/v1/targets`: how each target stands; pausing and resuming it.

use std::{cmp::Ordering, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    State,
    control::Resumed,
    guard::{MayChange, MayRead},
    moment::Moment,
    parameters::{PageQuery, Parameters, page},
    problem::Problem,
};
use crate::{
    config::Target,
    store::{
        Depth,
        handover::{Circuit, Gate},
    },
};

/// One page of targets, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetPage {
    targets: Vec<TargetShown>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Target)]
struct TargetShown {
    name: String,
    /// Of its URL only this: paths and queries of webhook addresses are often secret.
    host: Option<String>,
    /// By the file or by an operator: events are stored and wait.
    paused: bool,
    /// By the file.
    paused_by_file: bool,
    circuit: Option<CircuitShown>,
    /// Attempts under way, of this gateway.
    in_flight: i64,
    /// Deliveries of all gateways.
    pending: u64,
    dead: u64,
    /// How long the oldest delivery that is past due has been waiting.
    oldest_due_seconds: f64,
}

/// The breaker of this gateway.
#[derive(Serialize, ToSchema)]
#[schema(as = Circuit)]
struct CircuitShown {
    state: CircuitState,
    /// Of an open one: when a delivery is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CircuitState {
    Closed,
    /// Nothing is sent.
    Open,
    /// One delivery may be tried.
    HalfOpen,
}

/// How each target stands.
#[utoipa::path(get, path = "/api/v1/targets", tag = "targets", operation_id = "list_targets", params(PageQuery),
    responses((status = 200, description = "One page", body = TargetPage, links(
        ("pause" = (operation_id = "pause_target", parameters(("name" = "$response.body#/targets/0/name")))),
        ("resume" = (operation_id = "resume_target", parameters(("name" = "$response.body#/targets/0/name")))),
    ))))]
pub(super) async fn list(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<TargetPage>, Problem> {
    let paging = Parameters::of::<PageQuery>(&request)?.paging()?;
    let sources = &state.sources;
    let config = sources.control.config();
    let all = config.targets.values().collect();
    let (targets, next) = page(
        all,
        Ordering::Greater,
        |target: &&Arc<Target>| target.name.to_string(),
        &paging,
    );
    let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
    let depths = sources.store.depth(&names).await?;
    let targets = targets.into_iter().zip(depths);
    Ok(Json(TargetPage {
        targets: targets
            .map(|(target, depth)| TargetShown::of(&state, target, depth))
            .collect(),
        next,
    }))
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct PauseChanged {
    target: String,
    /// How the target stands now.
    paused: bool,
    result: PauseResult,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PauseResult {
    /// An operator's pause holds, of all gateways and over restarts.
    Paused,
    Resumed,
    /// No operator had paused it: nothing changed.
    NotPaused,
    /// The file says `paused = true`, which only the file can end.
    PausedByFile,
}

/// Sends a target nothing more, from any gateway of this store, until it is resumed. Events for it are stored and wait.
#[utoipa::path(post, path = "/api/v1/targets/{name}/pause", tag = "targets", operation_id = "pause_target",
    params(("name" = String, Path, description = "The target")),
    responses(
        (status = 200, description = "It is paused", body = PauseChanged),
        (status = 404, description = "No such target"),
    ))]
pub(super) async fn pause(
    may: MayChange,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<PauseChanged>, Problem> {
    Parameters::none(&request)?;
    let target = path.into_inner();
    if !state.sources.control.pause(&target).await? {
        return Err(unknown(&state, &target));
    }
    tracing::warn!(by = %may.by, target, "an operator paused the target");
    Ok(Json(PauseChanged {
        target,
        paused: true,
        result: PauseResult::Paused,
    }))
}

/// Ends an operator's pause.
#[utoipa::path(post, path = "/api/v1/targets/{name}/resume", tag = "targets", operation_id = "resume_target",
    params(("name" = String, Path, description = "The target")),
    responses(
        (status = 200, description = "How it stands now", body = PauseChanged),
        (status = 404, description = "No such target"),
    ))]
pub(super) async fn resume(
    may: MayChange,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<PauseChanged>, Problem> {
    Parameters::none(&request)?;
    let target = path.into_inner();
    let result = match state.sources.control.resume(&target).await? {
        Resumed::Resumed => PauseResult::Resumed,
        Resumed::NotPaused => PauseResult::NotPaused,
        Resumed::PausedByFile => PauseResult::PausedByFile,
        Resumed::Unknown => return Err(unknown(&state, &target)),
    };
    tracing::warn!(by = %may.by, target, "an operator resumed the target");
    Ok(Json(PauseChanged {
        target,
        paused: matches!(result, PauseResult::PausedByFile),
        result,
    }))
}

/// With the name that comes near.
pub(super) fn unknown(state: &State, name: &str) -> Problem {
    let config = state.sources.control.config();
    let near = crate::config::closest(name, config.targets.keys().map(|name| &**name));
    let hint = near.map_or_else(String::new, |near| format!(" Did you mean `{near}`?"));
    let detail = format!("No target of this name is configured.{hint}");
    Problem::new(StatusCode::NOT_FOUND, "unknown_target", detail)
}

impl TargetShown {
    fn of(state: &State, target: &Target, depth: Depth) -> Self {
        let gate = state.sources.control.gate(&target.name);
        let metrics = state.sources.metrics.target(&target.name);
        Self {
            name: target.name.to_string(),
            host: target.url.host_str().map(str::to_owned),
            paused: gate.as_ref().is_some_and(|gate| gate.is_paused()),
            paused_by_file: target.paused,
            circuit: gate.map(|gate| CircuitShown::of(state, &gate)),
            in_flight: metrics.map_or(0, |metrics| metrics.in_flight.get()),
            pending: depth.pending,
            dead: depth.dead,
            oldest_due_seconds: depth.oldest_due.as_secs_f64(),
        }
    }
}

impl CircuitShown {
    fn of(state: &State, gate: &Gate) -> Self {
        let now = Instant::now();
        let (state, until) = match gate.circuit(now) {
            Circuit::Closed => (CircuitState::Closed, None),
            Circuit::HalfOpen => (CircuitState::HalfOpen, None),
            Circuit::Open(until) => {
                let left = until.saturating_duration_since(now);
                let until = state.sources.clock.now().saturating_add(left);
                (CircuitState::Open, Some(Moment(until)))
            }
        };
        Self { state, until }
    }
}
