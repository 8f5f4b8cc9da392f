//! Calls of the same moment, joined into one script call.

use std::{future::Future, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{super::StoreError, DEADLINE, error::unexpected};

/// Callers that may wait; more are turned away.
const WAITING_MAX: usize = 8192;
/// Requests in one call.
const BATCH_MAX: usize = 128;
/// Bytes in one call, so that a batch of large bodies does not hold up everything else.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Calls under way at one time, while few wait.
const CALLS_MAX: usize = 4;
/// With so many more waiting, a call takes the place of two: while one runs in Redis the next travels, and what
/// arrives meanwhile makes the one after larger, which costs Redis less than more calls and more syncs.
const MANY: usize = 8;

/// An operation that can be done for many requests in one script call.
pub(super) trait Batch: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Reply: Send + 'static;

    /// About what the request adds to a call.
    fn bytes(request: &Self::Request) -> usize;

    /// One reply for each request, in order.
    fn call(
        &self,
        requests: &[Self::Request],
    ) -> impl Future<Output = Result<Vec<Self::Reply>, StoreError>> + Send;
}

/// Where requests wait for the next call.
pub(super) struct Queue<B: Batch> {
    waiting: mpsc::Sender<Waiting<B>>,
    stop: CancellationToken,
}

struct Waiting<B: Batch> {
    request: B::Request,
    answer: oneshot::Sender<Result<B::Reply, StoreError>>,
}

impl<B: Batch> Queue<B> {
    /// Runs until `stop`; what waits then is still done.
    pub(super) fn start(batch: B, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        let worker = Worker {
            batch: Arc::new(batch),
            queue,
            carried: None,
            stop: stop.clone(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            tasks: tasks.clone(),
        };
        tasks.spawn(worker.run());
        Self { waiting, stop }
    }

    /// Does the request with the next call. When the caller stops waiting before the call is sent, nothing
    /// happens; afterwards it happens whole.
    pub(super) async fn ask(&self, request: B::Request) -> Result<B::Reply, StoreError> {
        if self.stop.is_cancelled() {
            return Err(closed());
        }
        let (answer, answered) = oneshot::channel();
        self.waiting
            .try_send(Waiting { request, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => overloaded(),
                mpsc::error::TrySendError::Closed(_) => closed(),
            })?;
        match timeout(DEADLINE, answered).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(StoreError::Deadline(DEADLINE)),
        }
    }
}

struct Worker<B: Batch> {
    batch: Arc<B>,
    queue: mpsc::Receiver<Waiting<B>>,
    /// Taken from the queue, but too large for the batch it was taken for.
    carried: Option<Waiting<B>>,
    stop: CancellationToken,
    calls: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl<B: Batch> Worker<B> {
    async fn run(mut self) {
        // The permit comes first, so that what arrives while every call is under way joins one batch.
        while let Ok(mut permit) = self.calls.clone().acquire_owned().await {
            let Some(first) = self.next().await else {
                return;
            };
            if self.queue.len() >= MANY
                && let Ok(second) = self.calls.clone().acquire_owned().await
            {
                permit.merge(second);
            }
            let batch = self.fill(first);
            self.tasks.spawn(send(self.batch.clone(), batch, permit));
        }
    }

    /// `None` when the queue is stopped and empty.
    async fn next(&mut self) -> Option<Waiting<B>> {
        if let Some(carried) = self.carried.take() {
            return Some(carried);
        }
        tokio::select! {
            biased;
            waiting = self.queue.recv() => waiting,
            () = self.stop.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
        }
    }

    fn fill(&mut self, first: Waiting<B>) -> Vec<Waiting<B>> {
        let mut bytes = B::bytes(&first.request);
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            let Ok(waiting) = self.queue.try_recv() else {
                break;
            };
            bytes = bytes.saturating_add(B::bytes(&waiting.request));
            if bytes > BATCH_BYTES_MAX {
                self.carried = Some(waiting);
                break;
            }
            batch.push(waiting);
        }
        batch
    }
}

async fn send<B: Batch>(batch: Arc<B>, waiting: Vec<Waiting<B>>, permit: OwnedSemaphorePermit) {
    let (requests, answers): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        // Whoever stopped waiting has been told nothing: not to do it is still «whole or not at all».
        .filter(|waiting| !waiting.answer.is_closed())
        .map(|waiting| (waiting.request, waiting.answer))
        .unzip();
    if requests.is_empty() {
        return;
    }
    let replies = match batch.call(&requests).await {
        Ok(replies) if replies.len() == requests.len() => Ok(replies),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(error),
    };
    drop(permit);
    match replies {
        Ok(replies) => answers
            .into_iter()
            .zip(replies)
            .for_each(|(answer, reply)| tell(answer, Ok(reply))),
        Err(error) => answers
            .into_iter()
            .for_each(|answer| tell(answer, Err(error.clone()))),
    }
}

fn tell<T>(answer: oneshot::Sender<T>, reply: T) {
    // A caller that has gone needs no answer.
    drop(answer.send(reply));
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

fn overloaded() -> StoreError {
    StoreError::Unavailable("too many calls wait for Redis".into())
}
