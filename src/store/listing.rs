//! Asking a store for its events: what [`super::Store::list`] takes and gives.

use std::sync::Arc;

use uuid::Uuid;

use super::StoredDelivery;
use crate::{
    clock::Timestamp,
    event::{DeliveryState, RouteName, TargetName},
};

/// Which events are meant; what is `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub route: Option<RouteName>,
    /// Events with a delivery to this target.
    pub target: Option<TargetName>,
    /// Events with a delivery (to `target`, where that is given) in this state.
    pub state: Option<StateFilter>,
    /// Exactly this event type.
    pub event_type: Option<Arc<str>>,
    /// Exactly this id of the provider's.
    pub id: Option<Arc<str>>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    Pending,
    Delivered,
    Dead,
    Filtered,
}

impl StateFilter {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Dead, Self::Filtered];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Filtered => "filtered",
        }
    }

    pub fn matches(self, state: DeliveryState) -> bool {
        matches!(
            (self, state),
            (Self::Pending, DeliveryState::Pending)
                | (Self::Delivered, DeliveryState::Delivered)
                | (Self::Dead, DeliveryState::Dead(_))
                | (Self::Filtered, DeliveryState::Filtered)
        )
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Query {
    pub filter: Filter,
    /// Newest first, or oldest first, by acceptance (of a store that is spread: to the minute).
    pub newest_first: bool,
    /// Where the page before ended: its [`Page::next`].
    pub cursor: Option<String>,
    /// Events at most.
    pub limit: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    /// May be fewer than asked for, even none, though more follow: one call looks at a bounded number of events.
    pub events: Vec<EventSummary>,
    /// `None` when this was the last page.
    pub next: Option<String>,
}

/// An event without its body and headers.
#[derive(Clone, Debug)]
pub struct EventSummary {
    pub uid: Uuid,
    pub route: RouteName,
    pub id: Arc<str>,
    pub event_type: Option<Arc<str>>,
    pub credential: Option<Arc<str>>,
    pub request_id: Option<Arc<str>>,
    pub received_at: Timestamp,
    pub body_bytes: usize,
    /// All of them, whatever the filter.
    pub deliveries: Vec<StoredDelivery>,
}

impl Filter {
    /// Whether an event of this description matches.
    pub fn matches(&self, event: &EventSummary) -> bool {
        self.route
            .as_ref()
            .is_none_or(|route| *route == event.route)
            && (self.event_type.is_none() || self.event_type == event.event_type)
            && self.id.as_ref().is_none_or(|id| *id == event.id)
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
            && ((self.target.is_none() && self.state.is_none())
                || event.deliveries.iter().any(|delivery| self.means(delivery)))
    }

    /// Whether this delivery of an event that matches is meant.
    pub fn means(&self, delivery: &StoredDelivery) -> bool {
        self.target
            .as_ref()
            .is_none_or(|target| *target == delivery.target)
            && self.state.is_none_or(|state| state.matches(delivery.state))
    }
}
