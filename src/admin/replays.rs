//! `/api/v1/replays`: replays of many deliveries by filter.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    State,
    guard::{MayChange, MayRead},
    parameters::{FILTER, Parameters, malformed, uid},
    problem::Problem,
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

/// A filter, of which at least one part is given, and a rate.
pub(super) async fn create(
    _: MayChange,
    body: Result<Bytes, actix_web::Error>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = body.map_err(|error| Problem::unread(&error))?;
    let known: Vec<&str> = FILTER.into_iter().chain(["rate"]).collect();
    let mut parameters = Parameters::of_json(&body, &known)?;
    let rate = parameters.number("rate", 1..=RATE_MAX, RATE)?;
    let filter = parameters.filter()?;
    if filter == Filter::default() {
        let detail = format!(
            "Name at least one of {}: this would replay everything.",
            FILTER.join(", ")
        );
        return Err(Problem::bad("missing_filter", detail));
    }
    if filter.state == Some(StateFilter::Pending) {
        return Err(malformed(
            "state",
            "dead, delivered or filtered: what is pending is under way",
        ));
    }
    let targets = &state.sources.targets;
    if let Some(name) = &filter.target
        && !targets.iter().any(|target| target.name == *name)
    {
        return Err(malformed("target", "the name of a configured target"));
    }
    let running = |replay: &&Replay| replay.state == ReplayState::Running;
    let store = &state.sources.store;
    if store.replays().await?.iter().filter(running).count() >= RUNNING_MAX {
        let detail = format!("{RUNNING_MAX} replays are running; cancel one or wait for its end.");
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "too_many_replays",
            detail,
        ));
    }
    let replay = begun(filter, rate, state.sources.clock.now());
    if !store.save_replay(&replay).await? {
        let detail = "A replay of this id is there already; try again.";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", detail));
    }
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/replays/{}", replay.id)))
        .json(show(&replay)))
}

pub(super) async fn list(_: MayRead, state: Data<State>) -> Result<HttpResponse, Problem> {
    let replays = state.sources.store.replays().await?;
    let replays: Vec<_> = replays.iter().map(show).collect();
    Ok(HttpResponse::Ok().json(json!({ "replays": replays })))
}

pub(super) async fn get(
    _: MayRead,
    path: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let replay = find(&state, uid(&path)?).await?;
    Ok(HttpResponse::Ok().json(show(&replay)))
}

/// It makes no further step; what it made due stays so.
pub(super) async fn cancel(
    _: MayChange,
    path: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = uid(&path)?;
    for _ in 0..CANCEL_TRIES {
        let mut replay = find(&state, id).await?;
        if replay.state != ReplayState::Running {
            return Ok(HttpResponse::Ok().json(show(&replay)));
        }
        replay.state = ReplayState::Cancelled;
        replay.ended_at = Some(state.sources.clock.now());
        if state.sources.store.save_replay(&replay).await? {
            return Ok(HttpResponse::Ok().json(show(&replay)));
        }
    }
    let detail = "The replay changes too fast; try again.";
    Err(Problem::new(StatusCode::CONFLICT, "conflict", detail))
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

/// `events`: looked at that matched; `replayed`: deliveries that became due.
fn show(replay: &Replay) -> Value {
    let filter = &replay.filter;
    let shown = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "id": replay.id,
        "state": replay.state.as_str(),
        "filter": {
            "route": filter.route.as_deref(),
            "target": filter.target.as_deref(),
            "state": filter.state.map(StateFilter::as_str),
            "type": filter.event_type.as_deref(),
            "id": filter.id.as_deref(),
            "since": shown(filter.since),
            "until": shown(filter.until),
        },
        "rate": replay.rate,
        "created_at": replay.created_at.to_string(),
        "ended_at": shown(replay.ended_at),
        "events": replay.events,
        "replayed": replay.replayed,
    })
}
