//! `/api/v1/requests/{id}` and `/api/v1/rejections`: what became of a request.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    State,
    event::EventSummary,
    guard::MayRead,
    moment::Moment,
    parameters::Parameters,
    problem::Problem,
    record::{Outcome, RecordShown},
};
use crate::{
    clock::Timestamp,
    ingest::Found,
    store::{
        StoreError,
        listing::{self, Filter},
        records::{Record, RecordFilter, RecordPage, RecordQuery, time_of_id},
    },
};

/// From a request's head to its event: longer than a body may take.
const EVENT_WITHIN: Duration = Duration::from_secs(120);
/// Events of one page, and pages, that are looked through for those of a request.
const EVENTS_A_PAGE: usize = 500;
const PAGES_MAX: usize = 40;
/// Events of one request that are told.
const EVENTS_MAX: usize = 100;

const UNKNOWN: &str = "Nothing is known of this request. Either it was not answered by this gateway, or one that has \
    the same store (a proxy before it may have answered, or a gateway of another environment); or its event waits in a \
    gateway's `store.spool`, or has expired; or its record has, or has gone for newer ones: 10000 are kept, and in a \
    flood of refusals not each leaves one.";

/// What became of a request.
#[derive(Serialize, ToSchema)]
#[schema(as = Request)]
pub(super) struct RequestShown {
    request_id: String,
    outcome: Outcome,
    received_at: Moment,
    /// `null`: it reached none.
    route: Option<String>,
    /// The new events that it brought, 100 at most.
    events: Vec<EventSummary>,
    /// Of one that brought none.
    record: Option<RecordShown>,
}

/// What became of a request: each answer of the public listener has its id in `X-Request-Id`.
#[utoipa::path(get, path = "/api/v1/requests/{id}", tag = "requests", operation_id = "get_request",
    params(("id" = String, Path, description = "What `X-Request-Id` said")),
    responses(
        (status = 200, description = "What is known of it", body = RequestShown),
        (status = 404, description = "Nothing is known of it, or no longer"),
    ))]
pub(super) async fn get(
    _: MayRead,
    id: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<RequestShown>, Problem> {
    Parameters::none(&request)?;
    let at = time_of_id(&id).ok_or_else(unknown)?;
    let record = record(&state, &id).await;
    if let Ok(Some(record)) = record {
        return Ok(Json(RequestShown {
            request_id: id.into_inner(),
            outcome: Outcome::of(&record),
            received_at: record.at.into(),
            route: record.route.as_deref().map(str::to_owned),
            events: Vec::new(),
            record: Some(RecordShown::of(record)),
        }));
    }
    let events = events(&state, &id, at).await?;
    let Some(first) = events.first() else {
        // A record may be there that cannot be read now.
        record?;
        return Err(unknown());
    };
    Ok(Json(RequestShown {
        request_id: id.into_inner(),
        outcome: Outcome::Accepted,
        received_at: at.into(),
        route: Some(first.route.to_string()),
        events: events.iter().map(EventSummary::of).collect(),
        record: None,
    }))
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown", UNKNOWN)
}

async fn record(state: &State, id: &str) -> Result<Option<Record>, StoreError> {
    let Some(records) = state.sources.gate.records() else {
        return state.sources.store.record(id).await;
    };
    let found = records.find(id).await;
    match (found.found, found.store_fault) {
        (None, Some(fault)) => Err(fault),
        (found, _) => Ok(found),
    }
}

/// Those that a request of this time brought: the first that has its id, and those of the same moment.
async fn events(
    state: &State,
    id: &str,
    at: Timestamp,
) -> Result<Vec<listing::EventSummary>, StoreError> {
    let mut events = Vec::new();
    let mut query = listing::Query {
        filter: Filter {
            since: Some(at),
            until: Some(at.saturating_add(EVENT_WITHIN)),
            ..Filter::default()
        },
        newest_first: false,
        cursor: None,
        limit: EVENTS_A_PAGE,
    };
    for _ in 0..PAGES_MAX {
        let page = state.sources.store.list(&query).await?;
        let found = page.events.into_iter();
        events.extend(found.filter(|event| event.request_id.as_deref() == Some(id)));
        events.truncate(EVENTS_MAX);
        if let Some(first) = events.first() {
            let moment = first.received_at.saturating_add(Duration::from_millis(1));
            query.filter.until = Some(moment);
        }
        query.cursor = page.next;
        if query.cursor.is_none() || events.len() == EVENTS_MAX {
            break;
        }
    }
    Ok(events)
}

/// Which rejections. What is left out matches all.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are the names and the documentation of parameters"
)]
struct RejectionQuery {
    /// Of this route.
    #[param(min_length = 1, max_length = 512)]
    route: Option<String>,
    /// For this reason, e.g. `signature_mismatch`.
    #[param(min_length = 1, max_length = 512)]
    reason: Option<String>,
    /// Received at or after.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Received before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// `next` of the page before, of a list with the same parameters.
    #[param(min_length = 1, max_length = 512)]
    cursor: Option<String>,
    /// Items at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// One page of refused requests, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct RejectionPage {
    /// May be fewer than `limit`, even none, though more follow: one request looks at a bounded number.
    rejections: Vec<RecordShown>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
    /// Why only this gateway's newest are told: the store does not answer. Else `null`.
    incomplete: Option<String>,
}

/// Refused requests, without their bodies.
#[utoipa::path(get, path = "/api/v1/rejections", tag = "requests", operation_id = "list_rejections",
    params(RejectionQuery), responses((status = 200, description = "One page", body = RejectionPage)))]
pub(super) async fn rejections(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<RejectionPage>, Problem> {
    let mut parameters = Parameters::of::<RejectionQuery>(&request)?;
    let paging = parameters.paging()?;
    let query = RecordQuery {
        filter: RecordFilter {
            route: parameters.take("route").map(Into::into),
            reason: parameters.take("reason"),
            rejected: true,
            since: parameters.moment("since")?,
            until: parameters.moment("until")?,
        },
        cursor: paging.cursor,
        limit: paging.limit,
    };
    let found = list(&state, &query).await?;
    Ok(Json(RejectionPage {
        rejections: found
            .found
            .records
            .into_iter()
            .map(RecordShown::of)
            .collect(),
        next: found.found.next,
        incomplete: found.store_fault.map(|fault| fault.to_string()),
    }))
}

async fn list(state: &State, query: &RecordQuery) -> Result<Found<RecordPage>, StoreError> {
    match state.sources.gate.records() {
        Some(records) => records.list(query).await,
        None => Ok(Found {
            found: state.sources.store.records(query).await?,
            store_fault: None,
        }),
    }
}

/// One refused request, with its body where the route says `keep_rejected`.
#[utoipa::path(get, path = "/api/v1/rejections/{id}", tag = "requests", operation_id = "get_rejection",
    params(("id" = String, Path, description = "What `X-Request-Id` said")),
    responses(
        (status = 200, description = "Its record", body = RecordShown),
        (status = 404, description = "None is kept, or no longer"),
    ))]
pub(super) async fn rejection(
    _: MayRead,
    id: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<RecordShown>, Problem> {
    Parameters::none(&request)?;
    time_of_id(&id).ok_or_else(unknown)?;
    let record = record(&state, &id).await?;
    let refused = record.filter(|record| record.reason().is_some());
    Ok(Json(RecordShown::of(refused.ok_or_else(unknown)?)))
}
