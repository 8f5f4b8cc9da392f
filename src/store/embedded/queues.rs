//! The queues: a target's waiting deliveries by route, so that a route with a backlog does not hold up another.
//!
//! Of each queue is known how far one need not look: whatever lies before that place is claimed. So a claim does
//! not walk past what others hold, and an idle queue costs no look into the table.

use hashbrown::{Equivalent, HashMap};
use rusqlite::Connection;

use crate::event::{RouteName, TargetName};

use super::{
    claims::{BLOCKED_MS, TargetIndex},
    deliveries::DeliveryId,
    targets::index_of,
};

/// A queue's place in [`Queues`]; its number in the tables is that plus one.
pub(super) type QueueIndex = usize;

/// A place in a queue: `(due_ms, id)`.
pub(super) type Spot = (i64, DeliveryId);
const START: Spot = (i64::MIN, 0);
/// Behind all that is due some time.
pub(super) const END: Spot = (BLOCKED_MS, 0);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Name {
    route: RouteName,
    target: TargetName,
}

/// Hashes like a [`Name`].
#[derive(Hash)]
struct Sought<'a> {
    route: &'a str,
    target: &'a str,
}

impl Equivalent<Name> for Sought<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        *self.target == *name.target && *self.route == *name.route
    }
}

#[derive(Debug)]
struct Queue {
    target: TargetIndex,
    /// Nothing before it can be claimed.
    from: Spot,
}

/// The queues of one target.
#[derive(Debug, Default)]
struct Line {
    queues: Vec<QueueIndex>,
    /// The place in `queues` whose turn it is.
    turn: usize,
}

/// Queues are never removed.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: Vec<Queue>,
    places: HashMap<Name, QueueIndex>,
    /// By target.
    lines: Vec<Line>,
}

impl Queues {
    /// `targets`: their names, in order.
    pub(super) fn load(connection: &Connection, targets: &[TargetName]) -> rusqlite::Result<Self> {
        let mut queues = Self::default();
        let mut statement = connection.prepare("SELECT target, route FROM queues ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let target = index_of(row.get(0)?);
            let route: String = row.get(1)?;
            // Only damage can take a target's name away.
            let name = targets.get(target).cloned().unwrap_or_default();
            queues.push(route.into(), name, target);
        }
        Ok(queues)
    }

    pub(super) fn find(&self, route: &str, target: &str) -> Option<QueueIndex> {
        self.places.get(&Sought { route, target }).copied()
    }

    pub(super) fn push(
        &mut self,
        route: RouteName,
        name: TargetName,
        target: TargetIndex,
    ) -> QueueIndex {
        let index = self.queues.len();
        let from = START;
        self.queues.push(Queue { target, from });
        self.places.insert(
            Name {
                route,
                target: name,
            },
            index,
        );
        if self.lines.len() <= target && target != usize::MAX {
            self.lines.resize_with(target + 1, Line::default);
        }
        if let Some(line) = self.lines.get_mut(target) {
            line.queues.push(index);
        }
        index
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Back to the first so many; of each may be anything.
    pub(super) fn restore(&mut self, len: usize) {
        self.queues.truncate(len);
        self.places.retain(|_, index| *index < len);
        for line in &mut self.lines {
            line.queues.retain(|index| *index < len);
        }
        for queue in &mut self.queues {
            queue.from = START;
        }
    }

    pub(super) fn of(&self, target: TargetIndex) -> &[QueueIndex] {
        self.lines.get(target).map_or(&[], |line| &line.queues)
    }

    pub(super) fn target(&self, queue: QueueIndex) -> Option<TargetIndex> {
        Some(self.queues.get(queue)?.target)
    }

    pub(super) fn from(&self, queue: QueueIndex) -> Spot {
        self.queues.get(queue).map_or(END, |queue| queue.from)
    }

    /// Nothing before `spot` can be claimed.
    pub(super) fn look_from(&mut self, queue: QueueIndex, spot: Spot) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.from = spot;
        }
    }

    /// What lies at `spot` can be claimed once it is due.
    pub(super) fn look_at(&mut self, queue: QueueIndex, spot: Spot) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.from = queue.from.min(spot);
        }
    }

    /// Those of this target of which nothing is known.
    pub(super) fn unseen(&self, target: TargetIndex) -> Vec<QueueIndex> {
        let queues = self.of(target).iter().copied();
        queues.filter(|queue| self.from(*queue) == START).collect()
    }

    /// The queue of this target that may have something due first.
    pub(super) fn first(&self, target: TargetIndex) -> Option<QueueIndex> {
        let queues = self.of(target).iter().copied();
        queues
            .filter(|queue| self.from(*queue) < END)
            .min_by_key(|queue| self.from(*queue))
    }

    /// At most so many queues of this target that may have something due, from the one whose turn it is on.
    /// The turn then is at the one behind them.
    pub(super) fn take_turns(
        &mut self,
        target: TargetIndex,
        now_ms: i64,
        max: usize,
    ) -> Vec<QueueIndex> {
        let Some(line) = self.lines.get_mut(target) else {
            return Vec::new();
        };
        let length = line.queues.len();
        let mut taken = Vec::new();
        let mut turn = line.turn;
        for place in (line.turn..length).chain(0..line.turn.min(length)) {
            if taken.len() == max {
                break;
            }
            let Some(&queue) = line.queues.get(place) else {
                continue;
            };
            let due = self.queues.get(queue).map_or(END, |queue| queue.from);
            if due < END && due.0 <= now_ms {
                taken.push(queue);
                turn = place + 1;
            }
        }
        line.turn = turn;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Queues {
        let mut queues = Queues::default();
        for (route, target) in [("a", 0), ("b", 0), ("a", 2), ("c", 0)] {
            queues.push(route.into(), target.to_string().into(), target);
        }
        queues
    }

    #[test]
    fn turns_go_round_among_those_that_may_have_something() {
        let mut queues = three();
        assert_eq!(queues.find("a", "2"), Some(2));
        assert_eq!(queues.find("b", "2"), None);
        assert_eq!(queues.unseen(0), [0, 1, 3]);
        assert_eq!(queues.take_turns(0, 0, 2), [0, 1]);
        assert_eq!(queues.take_turns(0, 0, 2), [3, 0]);
        queues.look_from(1, END);
        assert_eq!(queues.take_turns(0, 0, 1), [3]);
        assert_eq!(queues.take_turns(0, 0, 9), [0, 3]);
        queues.look_at(1, (5, 7));
        assert_eq!(queues.take_turns(0, 4, 9), [0, 3]);
        assert_eq!(queues.take_turns(0, 5, 1), [0]);
        assert_eq!(queues.take_turns(0, 5, 1), [1]);
        assert_eq!(queues.take_turns(1, 5, 1), [0; 0]);
        assert_eq!(queues.take_turns(7, 5, 1), [0; 0]);
    }

    #[test]
    fn the_first_is_the_one_with_the_least_place() {
        let mut queues = three();
        for (queue, spot) in [(0, (9, 1)), (1, (5, 2)), (2, (1, 1)), (3, END)] {
            queues.look_from(queue, spot);
        }
        assert_eq!(queues.first(0), Some(1));
        queues.look_at(1, (6, 1));
        assert_eq!(queues.from(1), (5, 2), "never later");
        queues.look_from(1, END);
        assert_eq!(queues.first(0), Some(0));
        queues.restore(1);
        assert_eq!(queues.first(0), Some(0));
        assert_eq!((queues.first(2), queues.find("b", "0")), (None, None));
        assert_eq!(
            queues.take_turns(0, i64::MIN, 9),
            [0],
            "it may have something"
        );
    }
}
