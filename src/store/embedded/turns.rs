//! Order: of each group one delivery has the turn, the others wait for it.
//!
//! A group's unsettled deliveries, and its dead letters that hold, stand in `ordered`. The one that is due or
//! claimed has the turn; the rest have rows in `waiting` that are never due. Nobody has the turn while the first
//! of the group is a dead letter that holds, and only then. So a look at the first is enough, however long the
//! group is.

use rusqlite::{OptionalExtension as _, Row};

use crate::event::{Order, OrderGroup};

use super::{
    claims::BLOCKED_MS,
    deliveries::DeliveryId,
    failure::Failure,
    ledger::Ledger,
    queues::QueueIndex,
    targets::{index_of, row_of},
};

/// An order as its column holds it: whether it holds, and the group.
pub(super) fn order_bytes(order: Order) -> [u8; 17] {
    let mut bytes = [0; 17];
    bytes[0] = u8::from(order.hold);
    bytes[1..].copy_from_slice(&order.group.0);
    bytes
}

/// The order in this column, if there is one.
pub(super) fn read_order(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Order>> {
    let bytes: Option<[u8; 17]> = row.get(column)?;
    Ok(bytes.map(|[hold, group @ ..]| Order {
        group: OrderGroup(group),
        hold: hold != 0,
    }))
}

/// The first of a group.
struct First {
    id: DeliveryId,
    queue: QueueIndex,
    /// A dead letter that holds up those behind it.
    holds: bool,
}

impl Ledger {
    /// Puts a delivery into its group; returns whether it has the turn.
    pub(super) fn join(
        &mut self,
        group: OrderGroup,
        queue: QueueIndex,
        id: DeliveryId,
    ) -> Result<bool, Failure> {
        let first = self.first_of(group)?;
        self.begin()?;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO ordered (grp, id, queue, holds) VALUES (?1, ?2, ?3, 0)",
            )?
            .execute((group.0, id, row_of(queue)))?;
        // Before a dead letter that holds, or in its place, nobody else has the turn.
        Ok(first.is_none_or(|first| first.holds && id <= first.id))
    }

    /// Takes a delivery that has the turn out of its group; the next one falls due.
    pub(super) fn leave(&mut self, group: OrderGroup, id: DeliveryId) -> Result<(), Failure> {
        self.strike(group, id)?;
        self.pass_on(group)
    }

    /// Without giving the turn on.
    pub(super) fn strike(&mut self, group: OrderGroup, id: DeliveryId) -> Result<(), Failure> {
        self.begin()?;
        self.connection
            .prepare_cached("DELETE FROM ordered WHERE grp = ?1 AND id = ?2")?
            .execute((group.0, id))?;
        Ok(())
    }

    /// Makes a delivery that had the turn a dead letter that holds: only an earlier one may pass it.
    pub(super) fn hold(&mut self, group: OrderGroup, id: DeliveryId) -> Result<(), Failure> {
        self.begin()?;
        self.connection
            .prepare_cached("UPDATE ordered SET holds = 1 WHERE grp = ?1 AND id = ?2")?
            .execute((group.0, id))?;
        self.pass_on(group)
    }

    /// Takes a dead letter that is gone out of its group.
    pub(super) fn stop_holding(
        &mut self,
        group: OrderGroup,
        id: DeliveryId,
    ) -> Result<(), Failure> {
        let was_first = self.first_of(group)?.is_some_and(|first| first.id == id);
        self.strike(group, id)?;
        if was_first {
            self.pass_on(group)?;
        }
        Ok(())
    }

    /// Gives the turn, which nobody has, to the first of the group.
    pub(super) fn pass_on(&mut self, group: OrderGroup) -> Result<(), Failure> {
        let due_ms = self.due_clock.now().as_millis();
        self.begin()?;
        while let Some(First { id, queue, .. }) = self.first_of(group)?.filter(|first| !first.holds)
        {
            let rows = self
                .connection
                .prepare_cached(
                    "UPDATE waiting SET due_ms = ?4 WHERE queue = ?1 AND due_ms = ?2 AND id = ?3",
                )?
                .execute((row_of(queue), BLOCKED_MS, id, due_ms))?;
            if rows == 1 {
                self.queues.look_at(queue, (due_ms, id));
                return Ok(());
            }
            // Only damage can have taken its row: it must not hold up those behind it.
            self.strike(group, id)?;
        }
        Ok(())
    }

    fn first_of(&self, group: OrderGroup) -> Result<Option<First>, Failure> {
        let first = self
            .connection
            .prepare_cached(
                "SELECT id, queue, holds FROM ordered WHERE grp = ?1 ORDER BY id LIMIT 1",
            )?
            .query_row([group.0], |row| {
                Ok(First {
                    id: row.get(0)?,
                    queue: index_of(row.get(1)?),
                    holds: row.get(2)?,
                })
            })
            .optional()?;
        Ok(first)
    }
}
