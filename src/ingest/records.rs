//! What is kept of requests that made no new event: refusals, duplicates, handshakes. Bounded in rate (`quota.rs`) and in
//! number; a request never waits for it. While the store is away the newest are kept, and told, from memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::store::{
    Store, StoreError,
    records::{Record, RecordPage, RecordQuery},
};

use super::inquest::{End, Inquest};

/// Requests that wait to be looked at. More leave no record.
const QUEUE_MAX: usize = 256;
/// Records that wait to be written.
const UNWRITTEN_MAX: usize = 1_000;
/// Of the bodies of those.
const UNWRITTEN_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Written at one time.
const BATCH_MAX: usize = 100;
/// Between two writes, and after one that failed.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long who asks waits for what came before the question.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module.
pub struct Records {
    store: Arc<dyn Store>,
    queue: mpsc::Sender<Box<Inquest>>,
    /// Put into the queue so far, and of those looked at.
    put: AtomicU64,
    seen: watch::Sender<u64>,
    unwritten: Mutex<Unwritten>,
    dropped: IntCounter,
}

/// Looks at the requests and writes the records, until it is stopped.
pub struct Recording {
    records: Arc<Records>,
    queue: mpsc::Receiver<Box<Inquest>>,
    stop: CancellationToken,
}

/// A page, and why it is not all of what is kept.
pub struct Found<T> {
    pub found: T,
    /// Only what waits to be written is told.
    pub store_fault: Option<StoreError>,
}

#[derive(Default)]
struct Unwritten {
    /// Oldest first.
    records: VecDeque<Record>,
    body_bytes: usize,
}

impl Records {
    /// `dropped` counts the requests that leave no record. The recording is to be [run](Recording::run) on another
    /// runtime than requests are served on.
    pub fn new(
        store: Arc<dyn Store>,
        dropped: IntCounter,
        stop: CancellationToken,
    ) -> (Arc<Self>, Recording) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let records = Arc::new(Self {
            store,
            queue,
            put: AtomicU64::new(0),
            seen: watch::Sender::new(0),
            unwritten: Mutex::default(),
            dropped,
        });
        let recording = Recording {
            records: records.clone(),
            queue: waiting,
            stop,
        };
        (records, recording)
    }

    /// That a request leaves no record.
    pub(super) fn drop_one(&self) {
        self.dropped.inc();
    }

    pub(super) fn put(&self, inquest: Inquest) {
        match self.queue.try_send(Box::new(inquest)) {
            Ok(()) => {
                self.put.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => self.dropped.inc(),
        }
    }

    /// The record of a request.
    pub async fn find(&self, request_id: &str) -> Found<Option<Record>> {
        self.catch_up().await;
        let is_it = |record: &&Record| record.request_id == request_id;
        let waiting = self.unwritten().records.iter().find(is_it).cloned();
        if waiting.is_some() {
            return Found::all(waiting);
        }
        match self.store.record(request_id).await {
            Ok(found) => Found::all(found),
            Err(fault) => Found {
                found: None,
                store_fault: Some(fault),
            },
        }
    }

    /// Those that match, newest first.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn list(&self, query: &RecordQuery) -> Result<Found<RecordPage>, StoreError> {
        self.catch_up().await;
        let waiting = self.waiting(query);
        let (mut page, store_fault) = match self.store.records(query).await {
            Ok(page) => (page, None),
            Err(StoreError::BadCursor) => return Err(StoreError::BadCursor),
            Err(fault) => (RecordPage::default(), Some(fault)),
        };
        // What was written meanwhile is in both.
        page.records.extend(waiting);
        page.records
            .sort_by(|one, other| other.request_id.cmp(&one.request_id));
        page.records
            .dedup_by(|one, other| one.request_id == other.request_id);
        // What the store would tell next is older than all of its page.
        if let Some(next) = &page.next {
            page.records.retain(|record| record.request_id >= *next);
        }
        if page.records.len() > query.limit {
            page.records.truncate(query.limit);
            page.next = page.records.last().map(|last| last.request_id.clone());
        }
        Ok(Found {
            found: page,
            store_fault,
        })
    }

    fn waiting(&self, query: &RecordQuery) -> Vec<Record> {
        let is_next = |record: &&Record| {
            let cursor = query.cursor.as_ref();
            cursor.is_none_or(|cursor| record.request_id < *cursor) && query.filter.matches(record)
        };
        let unwritten = self.unwritten();
        let matching = unwritten.records.iter().filter(is_next);
        let without_body = |record: &Record| Record {
            body: None,
            ..record.clone()
        };
        matching.map(without_body).collect()
    }

    /// Until all that was put before has been looked at.
    async fn catch_up(&self) {
        let put = self.put.load(Ordering::Relaxed);
        let mut seen = self.seen.subscribe();
        // What is slow is missing from the answer, no more.
        drop(timeout(PATIENCE, seen.wait_for(|seen| *seen >= put)).await);
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, records: Vec<Record>) {
        let mut unwritten = self.unwritten();
        for record in records {
            let dropped = unwritten.push(record);
            self.dropped.inc_by(dropped);
        }
    }

    fn batch(&self) -> Vec<Record> {
        let unwritten = self.unwritten();
        unwritten.records.iter().take(BATCH_MAX).cloned().collect()
    }

    /// True: more is to be written.
    async fn write(&self) -> Result<bool, StoreError> {
        let batch = self.batch();
        if batch.is_empty() {
            return Ok(false);
        }
        let ids: Vec<_> = batch
            .iter()
            .map(|record| record.request_id.clone())
            .collect();
        self.store.keep_records(batch).await?;
        let mut unwritten = self.unwritten();
        unwritten.forget(&ids);
        Ok(!unwritten.records.is_empty())
    }
}

impl<T> Found<T> {
    fn all(found: T) -> Self {
        Self {
            found,
            store_fault: None,
        }
    }
}

impl Unwritten {
    /// How many had to go for it.
    fn push(&mut self, record: Record) -> u64 {
        self.body_bytes += body_bytes(&record);
        self.records.push_back(record);
        // The oldest bodies go first: the records are worth more.
        for record in &mut self.records {
            if self.body_bytes <= UNWRITTEN_BODY_BYTES_MAX {
                break;
            }
            self.body_bytes -= body_bytes(record);
            record.body = None;
        }
        let mut dropped = 0;
        while self.records.len() > UNWRITTEN_MAX {
            if let Some(oldest) = self.records.pop_front() {
                self.body_bytes -= body_bytes(&oldest);
                dropped += 1;
            }
        }
        dropped
    }

    fn forget(&mut self, ids: &[String]) {
        self.records
            .retain(|record| !ids.contains(&record.request_id));
        self.body_bytes = self.records.iter().map(body_bytes).sum();
    }
}

fn body_bytes(record: &Record) -> usize {
    record.body.as_ref().map_or(0, |body| body.bytes.len())
}

impl Recording {
    /// Ends when it is stopped, after one more write.
    pub async fn run(mut self) {
        let mut next_write = None;
        loop {
            let is_due = async {
                match next_write {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let stop = self.stop.clone();
            tokio::select! {
                inquest = self.queue.recv() => {
                    let Some(inquest) = inquest else { return };
                    self.look(inquest).await;
                    next_write.get_or_insert_with(|| tokio::time::Instant::now() + PAUSE);
                }
                () = is_due => {
                    next_write = self.write().await.map(|pause| tokio::time::Instant::now() + pause);
                }
                () = stop.cancelled() => break,
            }
        }
        self.queue.close();
        while let Some(inquest) = self.queue.recv().await {
            self.look(inquest).await;
        }
        while let Ok(true) = self.records.write().await {}
    }

    /// At this request, and at those that wait behind it, where a thread may be busy for long.
    async fn look(&mut self, first: Box<Inquest>) {
        let mut inquests = vec![first];
        while inquests.len() < BATCH_MAX
            && let Ok(next) = self.queue.try_recv()
        {
            inquests.push(next);
        }
        let count = inquests.len() as u64;
        let looking = move || inquests.into_iter().map(|one| one.record()).collect();
        match tokio::task::spawn_blocking(looking).await {
            Ok(records) => self.records.keep(records),
            Err(error) => {
                tracing::error!(%error, "a request could not be recorded");
                self.records.dropped.inc_by(count);
            }
        }
        self.records.seen.send_modify(|seen| *seen += count);
    }

    /// How long until the next is due, if one is.
    async fn write(&mut self) -> Option<Duration> {
        match self.records.write().await {
            Ok(true) => Some(PAUSE / 10),
            Ok(false) => None,
            Err(error) => {
                tracing::debug!(%error, "records of requests wait to be written");
                Some(PAUSE_AFTER_FAILURE)
            }
        }
    }
}

impl End {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        clock::Timestamp,
        store::records::{KeptBody, RecordResult},
    };

    fn record(number: usize, body: usize) -> Record {
        Record {
            request_id: format!("{number:012x}"),
            at: Timestamp::from_millis(0),
            took: Duration::ZERO,
            route: None,
            result: RecordResult::Rejected {
                reason: "invalid_json".into(),
            },
            status: 400,
            method: "POST".into(),
            path: "/".into(),
            client: None,
            body_bytes: None,
            cause: None,
            steps: Vec::new(),
            trace: None,
            body: (body > 0).then(|| KeptBody {
                content_type: None,
                bytes: Bytes::from(vec![0; body]),
            }),
        }
    }

    #[test]
    fn what_waits_to_be_written_is_bounded() {
        let mut unwritten = Unwritten::default();
        let dropped: u64 = (0..UNWRITTEN_MAX + 7)
            .map(|number| unwritten.push(record(number, 0)))
            .sum();
        assert_eq!((unwritten.records.len(), dropped), (UNWRITTEN_MAX, 7));
        assert_eq!(unwritten.records[0].request_id, record(7, 0).request_id);
        let written = [record(8, 0).request_id];
        unwritten.forget(&written);
        assert_eq!(unwritten.records.len(), UNWRITTEN_MAX - 1);
    }

    #[test]
    fn the_oldest_bodies_go_before_any_record_does() {
        let quarter = UNWRITTEN_BODY_BYTES_MAX / 4;
        let mut unwritten = Unwritten::default();
        for number in 0..6 {
            assert_eq!(unwritten.push(record(number, quarter)), 0);
        }
        let bodies = unwritten.records.iter().map(|one| one.body.is_some());
        let expected = [false, false, true, true, true, true];
        assert_eq!(bodies.collect::<Vec<_>>(), expected);
        assert_eq!(unwritten.body_bytes, 4 * quarter);
        unwritten.forget(&[record(5, 0).request_id]);
        assert_eq!(unwritten.body_bytes, 3 * quarter);
    }
}
