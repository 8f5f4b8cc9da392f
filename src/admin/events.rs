//! `/api/v1/events`: what is stored, and what became of it.

use actix_web::{
    HttpRequest,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    State,
    event::{EventShown, EventSummary, StateName},
    guard::{MayChange, MayRead},
    parameters::{Parameters, malformed, uid},
    problem::Problem,
};
use crate::store::{DeliveryName, Replayed, StoredDelivery, StoredEvent, listing};

/// Which events. What is left out matches all.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are the names and the documentation of parameters"
)]
struct ListQuery {
    /// Of this route.
    #[param(min_length = 1, max_length = 512)]
    route: Option<String>,
    /// With a delivery to this target.
    #[param(min_length = 1, max_length = 512)]
    target: Option<String>,
    /// With a delivery (to `target`, where that is given) in this state.
    #[param(inline)]
    state: Option<StateName>,
    /// Exactly this event type.
    #[param(min_length = 1, max_length = 512)]
    r#type: Option<String>,
    /// Exactly this id of the provider's.
    #[param(min_length = 1, max_length = 512)]
    id: Option<String>,
    /// Received at or after.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Received before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Which come first. Default `newest`.
    #[param(inline)]
    order: Option<Order>,
    /// `next` of the page before, of a list with the same parameters.
    #[param(min_length = 1, max_length = 512)]
    cursor: Option<String>,
    /// Items at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// By acceptance (of a store that is spread: to the minute).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "its variants are the documentation of a parameter"
)]
enum Order {
    Newest,
    Oldest,
}

/// One page of events.
#[derive(Serialize, ToSchema)]
pub(super) struct EventPage {
    /// May be fewer than `limit`, even none, though more follow: one request looks at a bounded number.
    events: Vec<EventSummary>,
    /// The cursor of the next page; `null` on the last.
    next: Option<String>,
}

/// Events, without headers and bodies.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events", params(ListQuery),
    responses((status = 200, description = "One page", body = EventPage, links(
        ("event" = (operation_id = "get_event", parameters(("uid" = "$response.body#/events/0/uid")))),
        ("replay" = (operation_id = "replay_event", parameters(("uid" = "$response.body#/events/0/uid")))),
        ("next" = (operation_id = "list_events", parameters(("cursor" = "$response.body#/next")))),
    ))))]
pub(super) async fn list(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<EventPage>, Problem> {
    let mut parameters = Parameters::of::<ListQuery>(&request)?;
    let newest_first = match parameters.take("order").as_deref() {
        None | Some("newest") => true,
        Some("oldest") => false,
        Some(_) => return Err(malformed("order", "newest or oldest")),
    };
    let paging = parameters.paging()?;
    let query = listing::Query {
        filter: parameters.filter()?,
        newest_first,
        cursor: paging.cursor,
        limit: paging.limit,
    };
    let page = state.sources.store.list(&query).await?;
    Ok(Json(EventPage {
        events: page.events.iter().map(EventSummary::of).collect(),
        next: page.next,
    }))
}

/// One event, with its headers, its body and all attempts.
#[utoipa::path(get, path = "/api/v1/events/{uid}", tag = "events", operation_id = "get_event",
    params(("uid" = Uuid, Path, description = "Hookgate's id of the event")),
    responses(
        (status = 200, description = "The event", body = EventShown),
        (status = 404, description = "No such event, or no longer"),
    ))]
pub(super) async fn get(
    _: MayRead,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<EventShown>, Problem> {
    Parameters::none(&request)?;
    let stored = stored(&state, uid("uid", &path)?).await?;
    Ok(Json(EventShown::of(&stored)))
}

/// Which deliveries of an event.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are the names and the documentation of parameters"
)]
struct ReplayQuery {
    /// Only that to this target.
    #[param(min_length = 1, max_length = 512)]
    target: Option<String>,
}

/// What came of the deliveries that were to be made again.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayedEvent {
    deliveries: Vec<ReplayedDelivery>,
}

#[derive(Serialize, ToSchema)]
struct ReplayedDelivery {
    target: String,
    result: ReplayResult,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReplayResult {
    /// It is made again.
    Due,
    /// It was under way: nothing changed.
    Pending,
    /// It is no longer stored.
    Unknown,
    /// Its target is no longer configured: nobody would deliver.
    TargetRemoved,
}

/// Makes the settled deliveries of an event again, or that to one target.
#[utoipa::path(post, path = "/api/v1/events/{uid}/replay", tag = "events", operation_id = "replay_event",
    params(("uid" = Uuid, Path, description = "Hookgate's id of the event"), ReplayQuery),
    responses(
        (status = 200, description = "What came of each delivery", body = ReplayedEvent),
        (status = 404, description = "No such event, or it does not go to this target"),
        (status = 409, description = "None of its targets is in the configuration"),
    ))]
pub(super) async fn replay(
    may: MayChange,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<ReplayedEvent>, Problem> {
    let target = Parameters::of::<ReplayQuery>(&request)?.take("target");
    let stored = stored(&state, uid("uid", &path)?).await?;
    let meant: Vec<_> = meant(&stored, target.as_deref())?;
    let config = state.sources.control.config();
    let (known, removed): (Vec<_>, Vec<_>) = meant
        .into_iter()
        .partition(|delivery| config.targets.contains_key(&delivery.target));
    if known.is_empty() {
        let detail = "The target is no longer in the configuration: nobody would deliver.";
        return Err(Problem::conflict("target_removed", detail));
    }
    let uid = stored.event.uid;
    let names: Vec<_> = known.iter().map(|delivery| name(uid, delivery)).collect();
    let answers = state.sources.store.replay(&names, None).await?;
    tracing::info!(by = %may.by, %uid, deliveries = names.len(), "an event is replayed");
    let removed = removed
        .into_iter()
        .map(|delivery| (&delivery.target, ReplayResult::TargetRemoved));
    let deliveries = names
        .iter()
        .zip(answers)
        .map(|(name, answer)| (&name.target, ReplayResult::of(answer)))
        .chain(removed)
        .map(|(target, result)| ReplayedDelivery {
            target: target.to_string(),
            result,
        });
    Ok(Json(ReplayedEvent {
        deliveries: deliveries.collect(),
    }))
}

/// Not empty, but for an event without any delivery.
fn meant<'a>(
    stored: &'a StoredEvent,
    target: Option<&str>,
) -> Result<Vec<&'a StoredDelivery>, Problem> {
    let deliveries = stored.deliveries.iter();
    let meant = deliveries.filter(|one| target.is_none_or(|target| *target == *one.target));
    let meant: Vec<_> = meant.collect();
    if meant.is_empty() {
        let detail = match target {
            Some(_) => "`target`: the event does not go to a target of this name.",
            None => "The event goes to no target.",
        };
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_target",
            detail,
        ));
    }
    Ok(meant)
}

impl ReplayResult {
    fn of(replayed: Replayed) -> Self {
        match replayed {
            Replayed::Due => Self::Due,
            // The second is told of those that are replayed unless they were since a time, which is not asked for here.
            Replayed::Pending | Replayed::Since => Self::Pending,
            Replayed::Unknown => Self::Unknown,
        }
    }
}

async fn stored(state: &State, uid: Uuid) -> Result<StoredEvent, Problem> {
    let stored = state.sources.store.get(uid).await?;
    stored.ok_or_else(|| Problem::unknown("The event"))
}

fn name(uid: Uuid, delivery: &StoredDelivery) -> DeliveryName {
    DeliveryName {
        uid,
        target: delivery.target.clone(),
    }
}
