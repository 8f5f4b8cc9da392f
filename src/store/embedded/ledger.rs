//! What the writer thread owns: the connection that writes, and all that is kept in memory beside it.
//!
//! A batch of operations is one transaction. What they change in memory is taken back when the
//! transaction fails, and is seen by the later operations of the same batch.

use std::{sync::Arc, time::Duration};

use rusqlite::Connection;
use uuid::Uuid;

use crate::{
    clock::{Clock, Timestamp},
    event::{Event, Order, RouteName, TargetName},
    store::{
        Acceptance, Depth, Expired, KeptSecret, Lease, Replayed, Retention, Settled, Settlement,
        Want, orphans::Gone, replays::Replay,
    },
};

use super::{
    claims::{Claims, TargetIndex},
    commits::{self, Place, Span},
    deliveries::DeliveryId,
    failure::Failure,
    head,
    memory::Ids,
    queues::{QueueIndex, Queues},
    replaying::Replayable,
    schema::FORMAT_VERSION,
    targets::{Counts, Targets, row_of},
};

/// The factor between the end of a row of ids, in milliseconds, and the row's number.
const IDS_SHIFT: u32 = 20;
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
const ENDS_MAX_MS: i64 = i64::MAX >> IDS_SHIFT;

/// What a caller asks for.
pub(super) enum Ask {
    /// All in one transaction, as everything that is asked at once.
    Accept(Vec<Arrival>),
    Claim(Vec<Want>),
    Settle(Vec<Settlement>),
    /// `None`: not found.
    /// See [`crate::store::Store::replay`].
    Replay(Vec<Option<Replayable>>, Option<Timestamp>),
    SaveReplay(Box<Replay>),
    ForgetReplay(Uuid),
    KeepSecret(KeptSecret),
    ForgetSecret(RouteName),
    PauseTarget(TargetName),
    ResumeTarget(TargetName),
    Depth(Vec<TargetName>),
    Retire(Gone),
    Expire(Retention),
    Ready,
    /// Nothing is taken after it.
    Close,
}

impl Ask {
    /// Operations that it takes.
    pub(super) fn operations(&self) -> usize {
        match self {
            Self::Accept(arrivals) => arrivals.len(),
            Self::Settle(settlements) => settlements.len(),
            Self::Replay(deliveries, _) => deliveries.len(),
            _ => 1,
        }
    }
}

/// An event on its way in.
pub(super) struct Arrival {
    pub(super) event: Arc<Event>,
    /// See [`super::head`].
    pub(super) head: Vec<u8>,
}

impl Arrival {
    pub(super) fn of(event: Arc<Event>) -> Self {
        let head = head::encode(&event);
        Self { event, head }
    }
}

/// For each that was asked, in order.
#[derive(Debug)]
pub(super) enum Answer {
    Accepted(Vec<Acceptance>),
    Picked(Picks),
    Settled(Vec<Settled>),
    Replayed(Vec<Replayed>),
    Saved(SavedReplay),
    /// Whether anything changed.
    Changed(bool),
    Depth(Vec<Depth>),
    Retired {
        deliveries: u64,
        more: bool,
    },
    Expired(Expired),
    Done,
}

/// What became of a replay that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SavedReplay {
    Kept,
    /// Another revision is kept, or none.
    Changed,
    /// There are too many already.
    NoRoom,
}

/// [`crate::store::Claims`], before the events are read.
#[derive(Debug, Default)]
pub(super) struct Picks {
    pub(super) picked: Vec<Picked>,
    pub(super) next_due: Vec<Option<Duration>>,
}

#[derive(Debug)]
pub(super) struct Picked {
    pub(super) delivery: DeliveryId,
    pub(super) target: TargetName,
    pub(super) attempts: u32,
    pub(super) lease: Lease,
    pub(super) order: Option<Order>,
    pub(super) replayed_at: Option<Timestamp>,
}

pub(super) struct Ledger {
    pub(super) connection: Connection,
    pub(super) clock: Clock,
    /// By which deliveries fall due: a backoff lasts as long as it should when the clock is set meanwhile.
    pub(super) due_clock: Clock,
    pub(super) ids: Ids,
    pub(super) claims: Claims,
    pub(super) targets: Targets,
    pub(super) queues: Queues,
    pub(super) next_seq: i64,
    /// The events of the batch under way.
    pub(super) spans: Vec<Span>,
    /// No event before this place is finished, so that expiry need not look there again.
    pub(super) unfinished_until: Place,
    /// Finished events before that place, which expiry has to look at again.
    pub(super) kept: Option<Kept>,
    in_transaction: bool,
    /// The counts, and the number of queues, when the batch under way began.
    before: Option<(Counts, usize)>,
}

/// Finished events that expiry went past, because they have not been finished for long enough.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// The first of them.
    pub(super) from: Place,
    /// When the one that was finished first was finished, in milliseconds since the epoch.
    pub(super) finished_ms: i64,
}

/// What a batch has done.
pub(super) struct Committed {
    pub(super) answers: Vec<Answer>,
    /// Events accepted.
    pub(super) events: usize,
    pub(super) body_bytes: usize,
    /// False when nothing had to be written.
    pub(super) wrote: bool,
}

impl Ledger {
    pub(super) fn load(connection: Connection, clock: Clock) -> rusqlite::Result<Self> {
        let now = clock.now();
        let last = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let next_seq = last("SELECT ifnull(max(seq), 0) + 1 FROM events")?;
        // Of events that are gone by damage too: something may be left of their deliveries.
        let next_commit = last("SELECT ifnull(max(last_seq), 0) + 1 FROM commits")?;
        let targets = Targets::load(&connection)?;
        Ok(Self {
            ids: load_ids(&connection, now)?,
            // Beyond every token that an earlier process can have given out.
            claims: Claims::new(now.as_millis().clamp(0, 1 << 42) << 20),
            queues: Queues::load(&connection, targets.names())?,
            targets,
            connection,
            due_clock: clock.steady(),
            clock,
            next_seq: next_seq.max(next_commit),
            spans: Vec::new(),
            unfinished_until: commits::START,
            kept: None,
            in_transaction: false,
            before: None,
        })
    }

    /// Runs a batch as one atomic step: on an error, nothing of it has happened.
    pub(super) fn run<'a>(
        &mut self,
        asks: impl Iterator<Item = &'a Ask>,
    ) -> Result<Committed, Failure> {
        let answers = asks
            .map(|ask| self.execute(ask))
            .collect::<Result<_, _>>()?;
        self.commit(answers)
    }

    /// The next operation of the batch. On an error, nothing of the whole batch has happened.
    pub(super) fn execute(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        if self.before.is_none() {
            self.before = Some((self.targets.counts.clone(), self.queues.len()));
        }
        self.answer(ask).inspect_err(|_| self.rollback())
    }

    /// Ends the batch; `answers` are those of [`Ledger::execute`]. On an error, nothing of it has happened.
    pub(super) fn commit(&mut self, answers: Vec<Answer>) -> Result<Committed, Failure> {
        let wrote = self.write_out().inspect_err(|_| self.rollback())?;
        let (before, _) = self.before.take().unwrap_or_default();
        Ok(self.committed(answers, wrote, &before))
    }

    /// Opens the batch's transaction, if it is not open.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        if !self.in_transaction {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Makes expiry look at this event again.
    pub(super) fn may_be_finished(&mut self, uid: Uuid) {
        // Its commit is never earlier than itself.
        self.unfinished_until = self.unfinished_until.min((received_ms(uid), 0));
    }

    pub(super) fn target(&mut self, name: &TargetName) -> Result<TargetIndex, Failure> {
        if let Some(index) = self.targets.find(name) {
            return Ok(index);
        }
        self.begin()?;
        let index = self.targets.push(name.clone());
        self.connection
            .prepare_cached("INSERT INTO targets (id, name) VALUES (?1, ?2)")?
            .execute((row_of(index), &**name))?;
        Ok(index)
    }

    /// The queue of this route's deliveries to this target.
    pub(super) fn queue(
        &mut self,
        route: &RouteName,
        target: &TargetName,
    ) -> Result<(QueueIndex, TargetIndex), Failure> {
        if let Some(queue) = self.queues.find(route, target)
            && let Some(target) = self.queues.target(queue)
        {
            return Ok((queue, target));
        }
        let index = self.target(target)?;
        self.begin()?;
        let queue = self.queues.push(route.clone(), target.clone(), index);
        self.connection
            .prepare_cached("INSERT INTO queues (id, target, route) VALUES (?1, ?2, ?3)")?
            .execute((row_of(queue), row_of(index), &**route))?;
        Ok((queue, index))
    }

    /// Between two batches: what is claimed so can be claimed again.
    pub(super) fn give_back(&mut self, lease: Lease) {
        if let Some(claim) = self.claims.give_back(lease) {
            self.queues.look_at(claim.queue, claim.waiting.spot());
        }
    }

    fn answer(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        Ok(match ask {
            Ask::Accept(arrivals) => {
                let accepted = arrivals.iter().map(|arrival| self.accept(arrival));
                Answer::Accepted(accepted.collect::<Result<_, _>>()?)
            }
            Ask::Claim(wants) => Answer::Picked(self.claim(wants)?),
            Ask::Settle(settlements) => {
                let settled = settlements.iter().map(|settlement| self.settle(settlement));
                Answer::Settled(settled.collect::<Result<_, _>>()?)
            }
            Ask::Replay(deliveries, unless_since) => {
                let replayed = deliveries
                    .iter()
                    .map(|found| self.replay(found.as_ref(), *unless_since));
                Answer::Replayed(replayed.collect::<Result<_, _>>()?)
            }
            Ask::SaveReplay(replay) => Answer::Saved(self.save_replay(replay)?),
            Ask::ForgetReplay(id) => self.forget_replay(*id)?,
            Ask::KeepSecret(kept) => Answer::Changed(self.keep_secret(kept)?),
            Ask::ForgetSecret(route) => Answer::Changed(self.forget_secret(route)?),
            Ask::PauseTarget(target) => self.pause_target(target)?,
            Ask::ResumeTarget(target) => Answer::Changed(self.resume_target(target)?),
            Ask::Depth(targets) => Answer::Depth(self.depth(targets)?),
            Ask::Retire(gone) => self.retire(gone)?,
            Ask::Expire(retention) => Answer::Expired(self.expire(*retention)?),
            Ask::Ready => self.probe()?,
            Ask::Close => Answer::Done,
        })
    }

    /// Writes what is there already, to see that the disk takes it.
    fn probe(&mut self) -> Result<Answer, Failure> {
        self.begin()?;
        self.connection
            .pragma_update(None, "user_version", FORMAT_VERSION)?;
        Ok(Answer::Done)
    }

    /// False when there was nothing to write.
    fn write_out(&mut self) -> Result<bool, Failure> {
        if self.in_transaction {
            for span in &self.spans {
                span.insert(&self.connection)?;
                self.unfinished_until = self.unfinished_until.min(span.place());
            }
            if let Some((ends, entries)) = self.ids.fresh_row() {
                self.insert_ids(ends, &entries)?;
            }
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        self.spans.clear();
        self.ids.commit();
        self.claims.commit();
        Ok(std::mem::take(&mut self.in_transaction))
    }

    fn insert_ids(&self, ends: Timestamp, entries: &[u8]) -> rusqlite::Result<()> {
        let first = first_ids_row(ends);
        let last = first | ((1 << IDS_SHIFT) - 1);
        self.connection
            .prepare_cached(
                "INSERT INTO ids (row, entries) VALUES (
                 (SELECT ifnull(max(row) + 1, ?1) FROM ids WHERE row BETWEEN ?1 AND ?2), ?3)",
            )?
            .execute((first, last, entries))?;
        Ok(())
    }

    pub(super) fn rollback(&mut self) {
        // SQLite has rolled back by itself after some errors; then there is nothing left to do, and
        // when a rollback fails, the connection is unusable and the next batch says so.
        if self.in_transaction
            && !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the embedded store cannot roll back");
        }
        self.in_transaction = false;
        self.spans.clear();
        self.ids.rollback();
        self.claims.rollback();
        if let Some((counts, queues)) = self.before.take() {
            self.targets.restore(counts);
            self.queues.restore(queues);
        }
        self.unfinished_until = commits::START;
    }

    fn committed(&self, answers: Vec<Answer>, wrote: bool, before: &Counts) -> Committed {
        let is_new = |acceptance: &&Acceptance| matches!(acceptance, Acceptance::Accepted { .. });
        let accepted = |answer: &Answer| match answer {
            Answer::Accepted(acceptances) => acceptances.iter().filter(is_new).count(),
            _ => 0,
        };
        let bytes = self
            .targets
            .counts
            .body_bytes
            .saturating_sub(before.body_bytes);
        Committed {
            events: answers.iter().map(accepted).sum(),
            body_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            answers,
            wrote,
        }
    }
}

/// When an event was received, as its uid tells it (see [`crate::event::event_uid`]).
pub(super) fn received_ms(uid: Uuid) -> i64 {
    // 48 bits always fit.
    i64::try_from(uid.as_u128() >> 80).unwrap_or(0)
}

/// The number of the first row of ids that may be forgotten at this time, and not before.
pub(super) fn first_ids_row(ends: Timestamp) -> i64 {
    ends.as_millis().clamp(0, ENDS_MAX_MS) << IDS_SHIFT
}

fn load_ids(connection: &Connection, now: Timestamp) -> rusqlite::Result<Ids> {
    let mut ids = Ids::default();
    let mut statement =
        connection.prepare("SELECT entries FROM ids WHERE row >= ?1 ORDER BY row")?;
    let mut rows = statement.query([first_ids_row(now.saturating_add(MILLISECOND))])?;
    while let Some(row) = rows.next()? {
        ids.restore(row.get_ref(0)?.as_blob()?, now);
    }
    Ok(ids)
}
