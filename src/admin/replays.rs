//! `/api/v1/replays`: replays of many deliveries by filter.

use std::cmp::{Ordering, Reverse};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Bytes, Data, Json, Path},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    State,
    guard::{MayChange, MayRead},
    moment::Moment,
    parameters::{PageQuery, Parameters, malformed, page, uid},
    problem::Problem,
    targets,
};
use crate::{
    clock::Timestamp,
    store::{
        listing::{Filter, StateFilter},
        replays::{Replay, ReplayState},
    },
};

const RATE: u32 = 100;
const RATE_MAX: u32 = 10_000;
const RUNNING_MAX: usize = 16;
/// Tries to cancel one that goes on at the same time.
const CANCEL_TRIES: usize = 10;
pub(super) const FILTER: [&str; 7] = ["route", "target", "state", "type", "id", "since", "until"];

/// Which deliveries are to be made again: at least one part of the filter is given.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    examples(json!({ "target": "crm", "state": "dead", "since": "2026-05-20T00:00:00Z", "rate": 50 }))
)]
#[expect(dead_code, reason = "its fields are the documentation of the body")]
struct NewReplay {
    /// Of this route.
    #[schema(required = false, min_length = 1, max_length = 512)]
    route: String,
    /// To this target.
    #[schema(required = false, min_length = 1, max_length = 512)]
    target: String,
    #[schema(required = false, inline)]
    state: Settled,
    /// Exactly this event type.
    #[schema(required = false, min_length = 1, max_length = 512)]
    r#type: String,
    /// Exactly this id of the provider's.
    #[schema(required = false, min_length = 1, max_length = 512)]
    id: String,
    /// Received at or after.
    #[schema(required = false, format = DateTime)]
    since: String,
    /// Received before.
    #[schema(required = false, format = DateTime)]
    until: String,
    /// Deliveries a second. Default 100.
    #[schema(required = false, minimum = 1, maximum = 10_000, default = 100)]
    rate: u32,
}

/// What is not under way.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "its variants are the documentation of the body")]
enum Settled {
    Delivered,
    Dead,
    Filtered,
}

/// One page of replays, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayPage {
    replays: Vec<ReplayShown>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
}

/// A replay of many deliveries, and how far it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay)]
pub(super) struct ReplayShown {
    id: Uuid,
    state: ReplayStateName,
    filter: FilterShown,
    /// Deliveries a second.
    rate: u32,
    created_at: Moment,
    ended_at: Option<Moment>,
    /// Events looked at that matched.
    events: u64,
    /// Deliveries that became due.
    replayed: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReplayState)]
#[serde(rename_all = "snake_case")]
enum ReplayStateName {
    Running,
    Done,
    Cancelled,
}

/// What is `null` matches all.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayFilter)]
struct FilterShown {
    route: Option<String>,
    target: Option<String>,
    state: Option<&'static str>,
    r#type: Option<String>,
    id: Option<String>,
    since: Option<Moment>,
    until: Option<Moment>,
}

/// Makes the settled deliveries that match again, so many a second. It goes on when this gateway ends.
#[utoipa::path(post, path = "/api/v1/replays", tag = "replays", operation_id = "create_replay",
    request_body = NewReplay,
    responses(
        (status = 201, description = "It runs", body = ReplayShown,
            headers(("Location" = String, description = "Where it tells how far it is")), links(
                ("replay" = (operation_id = "get_replay", parameters(("id" = "$response.body#/id")))),
                ("cancel" = (operation_id = "cancel_replay", parameters(("id" = "$response.body#/id")))),
            )),
        (status = 409, description = "The target is not configured, or too many replays are running"),
    ))]
pub(super) async fn create(
    may: MayChange,
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    let body = body.map_err(|error| Problem::unread(&error))?;
    let mut parameters = Parameters::of_json(&body, &FILTER, &["rate"])?;
    let rate = parameters.number("rate", 1..=RATE_MAX, RATE)?;
    let filter = checked(parameters.filter()?, &state)?;
    let running = |replay: &&Replay| replay.state == ReplayState::Running;
    let store = &state.sources.store;
    if store.replays().await?.iter().filter(running).count() >= RUNNING_MAX {
        let detail = format!("{RUNNING_MAX} replays are running; cancel one or wait for its end.");
        return Err(Problem::conflict("too_many_replays", detail));
    }
    let replay = begun(filter, rate, state.sources.clock.now());
    if !store.save_replay(&replay).await? {
        let detail = "A replay of this id is there already; try again.";
        return Err(Problem::conflict("conflict", detail));
    }
    tracing::info!(by = %may.by, id = %replay.id, rate, "a replay begins");
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/replays/{}", replay.id)))
        .json(ReplayShown::of(&replay)))
}

/// A filter that somebody can mean.
fn checked(filter: Filter, state: &State) -> Result<Filter, Problem> {
    if filter == Filter::default() {
        let names = FILTER.join(", ");
        let detail = format!("Name at least one of {names}: this would replay everything.");
        return Err(Problem::bad("missing_filter", detail));
    }
    if filter.state == Some(StateFilter::Pending) {
        let settled = "dead, delivered or filtered: what is pending is under way";
        return Err(malformed("state", settled));
    }
    match &filter.target {
        Some(name) if !state.sources.control.config().targets.contains_key(name) => {
            Err(targets::unknown(state, name).with_status(StatusCode::CONFLICT))
        }
        _ => Ok(filter),
    }
}

/// The replays that are running, and those that ended lately.
#[utoipa::path(get, path = "/api/v1/replays", tag = "replays", operation_id = "list_replays", params(PageQuery),
    responses((status = 200, description = "One page", body = ReplayPage, links(
        ("replay" = (operation_id = "get_replay", parameters(("id" = "$response.body#/replays/0/id")))),
    ))))]
pub(super) async fn list(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<ReplayPage>, Problem> {
    let paging = Parameters::of::<PageQuery>(&request)?.paging()?;
    let mut replays = state.sources.store.replays().await?;
    // Ids tell the time.
    replays.sort_by_key(|replay| Reverse(replay.id));
    let (replays, next) = page(
        replays,
        Ordering::Less,
        |replay| replay.id.to_string(),
        &paging,
    );
    Ok(Json(ReplayPage {
        replays: replays.iter().map(ReplayShown::of).collect(),
        next,
    }))
}

/// How far a replay is.
#[utoipa::path(get, path = "/api/v1/replays/{id}", tag = "replays", operation_id = "get_replay",
    params(("id" = Uuid, Path, description = "The replay")),
    responses(
        (status = 200, description = "The replay", body = ReplayShown),
        (status = 404, description = "No such replay, or no longer"),
    ))]
pub(super) async fn get(
    _: MayRead,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<ReplayShown>, Problem> {
    Parameters::none(&request)?;
    let replay = find(&state, uid("id", &path)?).await?;
    Ok(Json(ReplayShown::of(&replay)))
}

/// Ends a replay: it makes no further step. What it made due stays so.
#[utoipa::path(post, path = "/api/v1/replays/{id}/cancel", tag = "replays", operation_id = "cancel_replay",
    params(("id" = Uuid, Path, description = "The replay")),
    responses(
        (status = 200, description = "The replay as it ended, now or before", body = ReplayShown),
        (status = 404, description = "No such replay, or no longer"),
        (status = 409, description = "It changes too fast: try again"),
    ))]
pub(super) async fn cancel(
    may: MayChange,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<ReplayShown>, Problem> {
    Parameters::none(&request)?;
    let id = uid("id", &path)?;
    for _ in 0..CANCEL_TRIES {
        let mut replay = find(&state, id).await?;
        if replay.state != ReplayState::Running {
            return Ok(Json(ReplayShown::of(&replay)));
        }
        replay.state = ReplayState::Cancelled;
        replay.ended_at = Some(state.sources.clock.now());
        if state.sources.store.save_replay(&replay).await? {
            tracing::info!(by = %may.by, %id, "a replay is cancelled");
            return Ok(Json(ReplayShown::of(&replay)));
        }
    }
    let detail = "The replay changes too fast; try again.";
    Err(Problem::conflict("conflict", detail))
}

async fn find(state: &State, id: Uuid) -> Result<Replay, Problem> {
    let replays = state.sources.store.replays().await?;
    let found = replays.into_iter().find(|replay| replay.id == id);
    found.ok_or_else(|| Problem::unknown("The replay"))
}

fn begun(filter: Filter, rate: u32, now: Timestamp) -> Replay {
    let millis = u64::try_from(now.as_millis()).unwrap_or_default();
    let random = rand::random();
    Replay {
        id: uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        revision: 0,
        filter,
        rate,
        state: ReplayState::Running,
        created_at: now,
        ended_at: None,
        next_step_at: now,
        cursor: None,
        events: 0,
        replayed: 0,
    }
}

impl ReplayShown {
    fn of(replay: &Replay) -> Self {
        Self {
            id: replay.id,
            state: match replay.state {
                ReplayState::Running => ReplayStateName::Running,
                ReplayState::Done => ReplayStateName::Done,
                ReplayState::Cancelled => ReplayStateName::Cancelled,
            },
            filter: FilterShown::of(&replay.filter),
            rate: replay.rate,
            created_at: replay.created_at.into(),
            ended_at: replay.ended_at.map(Moment),
            events: replay.events,
            replayed: replay.replayed,
        }
    }
}

impl FilterShown {
    fn of(filter: &Filter) -> Self {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            route: text(&filter.route),
            target: text(&filter.target),
            state: filter.state.map(StateFilter::as_str),
            r#type: text(&filter.event_type),
            id: text(&filter.id),
            since: filter.since.map(Moment),
            until: filter.until.map(Moment),
        }
    }
}
