//! A replay of many deliveries by filter: what is kept of it, so that any gateway can go on with it after a crash.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::listing::{Filter, StateFilter};
use crate::clock::Timestamp;

/// One replay and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub id: Uuid,
    /// As it was read; 0 for a new one. See [`super::Store::save_replay`].
    pub revision: u64,
    pub filter: Filter,
    /// Deliveries a second.
    pub rate: u32,
    pub state: ReplayState,
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// No gateway goes on with it before this: one that works on it claims it so, and then waits for the rate.
    pub next_step_at: Timestamp,
    /// Where the list, oldest first, goes on.
    pub cursor: Option<String>,
    /// Events looked at that matched.
    pub events: u64,
    /// Deliveries that are due again.
    pub replayed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayState {
    Running,
    Done,
    Cancelled,
}

impl ReplayState {
    pub const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Replay {
    /// Everything but id and revision, as a store keeps it.
    pub(super) fn to_json(&self) -> String {
        let filter = &self.filter;
        let kept = Kept {
            route: filter.route.as_deref().map(str::to_owned),
            target: filter.target.as_deref().map(str::to_owned),
            state_filter: filter.state.map(|state| state.as_str().to_owned()),
            event_type: filter.event_type.as_deref().map(str::to_owned),
            event_id: filter.id.as_deref().map(str::to_owned),
            since_ms: filter.since.map(Timestamp::as_millis),
            until_ms: filter.until.map(Timestamp::as_millis),
            rate: self.rate,
            state: self.state.as_str().to_owned(),
            created_ms: self.created_at.as_millis(),
            ended_ms: self.ended_at.map(Timestamp::as_millis),
            next_step_ms: self.next_step_at.as_millis(),
            cursor: self.cursor.clone(),
            events: self.events,
            replayed: self.replayed,
        };
        // Strings and numbers only: that cannot fail.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// `None` when it cannot be read.
    pub(super) fn from_json(id: Uuid, revision: u64, json: &[u8]) -> Option<Self> {
        let kept: Kept = serde_json::from_slice(json).ok()?;
        let state_filter = match kept.state_filter {
            None => None,
            Some(name) => Some(StateFilter::ALL.into_iter().find(|s| s.as_str() == name)?),
        };
        Some(Self {
            id,
            revision,
            filter: Filter {
                route: kept.route.map(Into::into),
                target: kept.target.map(Into::into),
                state: state_filter,
                event_type: kept.event_type.map(Into::into),
                id: kept.event_id.map(Into::into),
                since: kept.since_ms.map(Timestamp::from_millis),
                until: kept.until_ms.map(Timestamp::from_millis),
            },
            rate: kept.rate,
            state: ReplayState::ALL
                .into_iter()
                .find(|state| state.as_str() == kept.state)?,
            created_at: Timestamp::from_millis(kept.created_ms),
            ended_at: kept.ended_ms.map(Timestamp::from_millis),
            next_step_at: Timestamp::from_millis(kept.next_step_ms),
            cursor: kept.cursor,
            events: kept.events,
            replayed: kept.replayed,
        })
    }
}

/// A newer version may add fields.
#[derive(Serialize, Deserialize)]
struct Kept {
    route: Option<String>,
    target: Option<String>,
    state_filter: Option<String>,
    event_type: Option<String>,
    event_id: Option<String>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
    rate: u32,
    state: String,
    created_ms: i64,
    ended_ms: Option<i64>,
    next_step_ms: i64,
    cursor: Option<String>,
    events: u64,
    replayed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_comes_back() {
        let bare = Replay {
            id: Uuid::from_u128(7),
            revision: 3,
            filter: Filter::default(),
            rate: 50,
            state: ReplayState::Running,
            created_at: Timestamp::from_millis(1),
            ended_at: None,
            next_step_at: Timestamp::from_millis(2),
            cursor: None,
            events: 0,
            replayed: 0,
        };
        let full = Replay {
            filter: Filter {
                route: Some("orders".into()),
                target: Some("crm".into()),
                state: Some(StateFilter::Dead),
                event_type: Some("order.created".into()),
                id: Some("id \"ü\"".into()),
                since: Some(Timestamp::from_millis(-1)),
                until: Some(Timestamp::from_millis(5)),
            },
            state: ReplayState::Cancelled,
            ended_at: Some(Timestamp::from_millis(9)),
            cursor: Some("17".into()),
            events: 5,
            replayed: 4,
            ..bare.clone()
        };
        for replay in [bare, full] {
            let json = replay.to_json();
            let back = Replay::from_json(replay.id, replay.revision, json.as_bytes());
            assert_eq!(back, Some(replay));
        }
        assert_eq!(Replay::from_json(Uuid::nil(), 0, b"{}"), None);
    }
}
