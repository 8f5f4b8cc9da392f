//! Lists of events, a bounded number of looks a call.
//!
//! Events are walked by commit, and so by time: what lies outside `since` and `until` costs nothing. Dead letters
//! are walked by their index, and so by number.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::{
    clock::Timestamp,
    event::NewDelivery,
    store::{
        StoreError,
        listing::{EventSummary, Filter, Page, Query, StateFilter},
    },
};

use super::{
    commits::SPREAD_MAX_MS,
    deliveries::{self, DeliveryId, seq_of},
    failure::Failure,
    head, reader,
};

/// Looks of one call: an event costs some, a row of an index one.
const LOOKS_MAX: usize = 20_000;
const LOOKS_PER_EVENT: usize = 10;

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a commit, behind one of its events.
    Event {
        max_ms: i64,
        first_seq: i64,
        seq: i64,
    },
    /// Behind a dead letter.
    Dead(DeliveryId),
}

/// What a query says, its cursor read.
#[derive(Debug)]
pub(super) struct Search {
    filter: Filter,
    newest_first: bool,
    limit: usize,
    after: Option<Place>,
}

impl Search {
    pub(super) fn of(query: &Query) -> Result<Self, StoreError> {
        let mut search = Self {
            filter: query.filter.clone(),
            newest_first: query.newest_first,
            limit: query.limit.max(1),
            after: None,
        };
        if let Some(cursor) = &query.cursor {
            let place = search.place(cursor).ok_or(StoreError::BadCursor)?;
            search.after = Some(place);
        }
        Ok(search)
    }

    fn is_of_dead(&self) -> bool {
        self.filter.state == Some(StateFilter::Dead)
    }

    /// Says which walk it is of, so that no other goes on with it.
    fn kind(&self) -> char {
        match (self.is_of_dead(), self.newest_first) {
            (false, false) => 'o',
            (false, true) => 'n',
            (true, false) => 'p',
            (true, true) => 'm',
        }
    }

    fn cursor(&self, place: Place) -> String {
        let kind = self.kind();
        match place {
            Place::Event {
                max_ms,
                first_seq,
                seq,
            } => format!("{kind}{max_ms}.{first_seq}.{seq}"),
            Place::Dead(id) => format!("{kind}{id}"),
        }
    }

    fn place(&self, cursor: &str) -> Option<Place> {
        let mut numbers = cursor.strip_prefix(self.kind())?.split('.');
        let mut number = || numbers.next()?.parse().ok();
        let place = if self.is_of_dead() {
            Place::Dead(number()?)
        } else {
            Place::Event {
                max_ms: number()?,
                first_seq: number()?,
                seq: number()?,
            }
        };
        // Not another spelling of it.
        (self.cursor(place) == cursor).then_some(place)
    }
}

pub(super) fn list(connection: &mut Connection, search: &Search) -> Result<Page, Failure> {
    // One snapshot, so that events and their deliveries belong together.
    let snapshot = connection.transaction()?;
    let mut walk = Walk {
        connection: &snapshot,
        search,
        // What the head alone can tell.
        narrow: Filter {
            target: None,
            state: None,
            ..search.filter.clone()
        },
        looks: 0,
        events: Vec::new(),
        at: search.after,
        page_end: None,
    };
    let next = if search.is_of_dead() {
        walk.dead_letters()?
    } else {
        walk.commits()?
    };
    Ok(Page {
        events: walk.events,
        next: next.map(|place| search.cursor(place)),
    })
}

/// Whether a walk goes on.
#[derive(PartialEq, Eq)]
enum Step {
    On,
    /// The page is full, and more follows; or there were enough looks.
    Stop,
}

struct Walk<'a> {
    connection: &'a Connection,
    search: &'a Search,
    narrow: Filter,
    looks: usize,
    events: Vec<EventSummary>,
    /// What was looked at last.
    at: Option<Place>,
    /// The last event of a full page.
    page_end: Option<Place>,
}

impl Walk<'_> {
    /// Returns where the next page goes on, if there is one.
    fn commits(&mut self) -> Result<Option<Place>, Failure> {
        let since_ms = self.search.filter.since.map(Timestamp::as_millis);
        let until_ms = self.search.filter.until.map(Timestamp::as_millis);
        // No event of a commit is later than the commit, or much earlier.
        let mut low = (since_ms.unwrap_or(i64::MIN), i64::MIN);
        let high_ms = until_ms.map_or(i64::MAX, |until| until.saturating_add(SPREAD_MAX_MS));
        let mut high = (high_ms, i64::MAX);
        if let Some(Place::Event {
            max_ms, first_seq, ..
        }) = self.search.after
        {
            let bound = if self.search.newest_first {
                &mut high
            } else {
                &mut low
            };
            *bound = (max_ms, first_seq);
        }
        let sql = if self.search.newest_first {
            "SELECT max_ms, first_seq, last_seq FROM commits
             WHERE (max_ms, first_seq) >= (?1, ?2) AND (max_ms, first_seq) <= (?3, ?4)
             ORDER BY max_ms DESC, first_seq DESC"
        } else {
            "SELECT max_ms, first_seq, last_seq FROM commits
             WHERE (max_ms, first_seq) >= (?1, ?2) AND (max_ms, first_seq) <= (?3, ?4)
             ORDER BY max_ms, first_seq"
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((low.0, low.1, high.0, high.1))?;
        while let Some(row) = rows.next()? {
            let (max_ms, first_seq, last_seq) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if self.commit(max_ms, first_seq, last_seq)? == Step::Stop {
                return Ok(self.page_end.or(self.at));
            }
        }
        Ok(None)
    }

    fn commit(&mut self, max_ms: i64, first_seq: i64, last_seq: i64) -> Result<Step, Failure> {
        let (mut first, mut last) = (first_seq, last_seq);
        if let Some(Place::Event {
            max_ms: of_ms,
            first_seq: of,
            seq,
        }) = self.search.after
            && (of_ms, of) == (max_ms, first_seq)
        {
            if self.search.newest_first {
                last = seq.saturating_sub(1);
            } else {
                first = seq.saturating_add(1);
            }
        }
        let sql = if self.search.newest_first {
            "SELECT head, length(body), seq FROM events WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq DESC"
        } else {
            "SELECT head, length(body), seq FROM events WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq"
        };
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((first, last))?;
        self.looks += 1;
        while let Some(row) = rows.next()? {
            if self.looks >= LOOKS_MAX {
                return Ok(Step::Stop);
            }
            let seq = row.get(2)?;
            let place = Place::Event {
                max_ms,
                first_seq,
                seq,
            };
            if self.event(row, seq, place)? == Step::Stop {
                return Ok(Step::Stop);
            }
            self.at = Some(place);
        }
        // Behind all of its events.
        let seq = if self.search.newest_first {
            first_seq
        } else {
            last_seq
        };
        self.at = Some(Place::Event {
            max_ms,
            first_seq,
            seq,
        });
        Ok(if self.looks >= LOOKS_MAX {
            Step::Stop
        } else {
            Step::On
        })
    }

    fn dead_letters(&mut self) -> Result<Option<Place>, Failure> {
        let connection = self.connection;
        let target = match &self.search.filter.target {
            None => None,
            Some(name) => {
                let row = connection
                    .prepare_cached("SELECT id FROM targets WHERE name = ?1")?
                    .query_row([&**name], |row| row.get::<_, i64>(0))
                    .optional()?;
                // Unknown: then it has none.
                let Some(row) = row else { return Ok(None) };
                Some(row)
            }
        };
        let sql = if self.search.newest_first {
            "SELECT id, target FROM deliveries INDEXED BY dead
             WHERE state BETWEEN 2 AND 6 AND id < ?1 ORDER BY id DESC"
        } else {
            "SELECT id, target FROM deliveries INDEXED BY dead
             WHERE state BETWEEN 2 AND 6 AND id > ?1 ORDER BY id"
        };
        let after = match (self.search.after, self.search.newest_first) {
            (Some(Place::Dead(id)), _) => id,
            (_, true) => i64::MAX,
            (_, false) => i64::MIN,
        };
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([after])?;
        let mut last_seq = None;
        while let Some(row) = rows.next()? {
            if self.looks >= LOOKS_MAX {
                return Ok(self.page_end.or(self.at));
            }
            self.looks += 1;
            let id: DeliveryId = row.get(0)?;
            let seq = seq_of(id);
            let is_meant = target.is_none_or(|target| row.get(1) == Ok(target));
            if is_meant && last_seq != Some(seq) {
                last_seq = Some(seq);
                if self.dead_letter(seq)? == Step::Stop {
                    return Ok(self.page_end.or(self.at));
                }
            }
            self.at = Some(Place::Dead(id));
        }
        Ok(None)
    }

    fn dead_letter(&mut self, seq: i64) -> Result<Step, Failure> {
        let (first, last) = deliveries::range(seq, seq);
        // Behind all deliveries of the event.
        let place = Place::Dead(if self.search.newest_first {
            first
        } else {
            last
        });
        let connection = self.connection;
        let mut statement = connection
            .prepare_cached("SELECT head, length(body), seq FROM events WHERE seq = ?1")?;
        let mut rows = statement.query([seq])?;
        match rows.next()? {
            Some(row) => self.event(row, seq, place),
            None => Ok(Step::On),
        }
    }

    /// Takes an event into the page if it matches. `row`: its head, and the bytes of its body.
    fn event(&mut self, row: &Row<'_>, seq: i64, place: Place) -> Result<Step, Failure> {
        self.looks += LOOKS_PER_EVENT;
        let Some((mut summary, targets)) = summary(row)? else {
            tracing::error!(seq, "a stored event cannot be read back");
            return Ok(Step::On);
        };
        if !self.narrow.matches(&summary) {
            return Ok(Step::On);
        }
        summary.deliveries = reader::states(self.connection, seq, &targets)?;
        if !self.search.filter.matches(&summary) {
            return Ok(Step::On);
        }
        if self.events.len() == self.search.limit {
            return Ok(Step::Stop);
        }
        reader::add_history(self.connection, seq, &mut summary.deliveries)?;
        self.events.push(summary);
        if self.events.len() == self.search.limit {
            self.page_end = Some(place);
        }
        Ok(Step::On)
    }
}

/// The deliveries are left to be filled in. `None` when the head is not whole.
fn summary(row: &Row<'_>) -> rusqlite::Result<Option<(EventSummary, Vec<NewDelivery>)>> {
    let Some(event) = row.get_ref(0)?.as_blob().ok().and_then(head::decode) else {
        return Ok(None);
    };
    let summary = EventSummary {
        uid: event.uid,
        route: event.route,
        id: event.id,
        event_type: event.event_type,
        credential: event.credential,
        request_id: event.request_id,
        received_at: event.received_at,
        body_bytes: usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX),
        deliveries: Vec::new(),
    };
    Ok(Some((summary, event.deliveries)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(state: Option<StateFilter>, newest_first: bool, cursor: Option<String>) -> Query {
        Query {
            filter: Filter {
                state,
                ..Filter::default()
            },
            newest_first,
            cursor,
            limit: 1,
        }
    }

    #[test]
    fn a_cursor_is_good_for_the_walk_that_it_comes_from_alone() {
        let event = Place::Event {
            max_ms: -5,
            first_seq: 7,
            seq: i64::MAX,
        };
        let walks = [
            (None, false, event),
            (Some(StateFilter::Pending), true, event),
            (Some(StateFilter::Dead), false, Place::Dead(9)),
            (Some(StateFilter::Dead), true, Place::Dead(9)),
        ];
        for (n, (state, newest_first, place)) in walks.into_iter().enumerate() {
            let search = Search::of(&query(state, newest_first, None)).unwrap();
            let cursor = search.cursor(place);
            for (m, (state, newest_first, _)) in walks.into_iter().enumerate() {
                let found = Search::of(&query(state, newest_first, Some(cursor.clone())));
                match found {
                    Ok(search) => assert_eq!((n, search.after), (m, Some(place))),
                    Err(error) => {
                        assert_ne!(n, m);
                        assert!(matches!(error, StoreError::BadCursor));
                    }
                }
            }
            for other in [
                format!("{cursor}0."),
                format!(" {cursor}"),
                cursor.replace('7', "07"),
            ] {
                let found = Search::of(&query(state, newest_first, Some(other.clone())));
                assert!(other == cursor || found.is_err(), "{other}");
            }
        }
    }
}
