//! Calls of the same moment, joined into one script call.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{super::StoreError, DEADLINE, error::unexpected};

/// Requests that may wait; more are turned away.
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

/// To each request of a group, in order.
type Replies<B> = Result<Vec<<B as Batch>::Reply>, StoreError>;

/// Where requests wait for the next call.
pub(super) struct Queue<B: Batch> {
    groups: mpsc::UnboundedSender<Group<B>>,
    waiting: Arc<AtomicUsize>,
    stop: CancellationToken,
}

/// Requests of one caller that go into one call: at least one.
struct Group<B: Batch> {
    requests: Vec<B::Request>,
    bytes: usize,
    answer: oneshot::Sender<Replies<B>>,
}

impl<B: Batch> Queue<B> {
    /// Runs until `stop`; what waits then is still done.
    pub(super) fn start(batch: B, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (groups, queue) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            batch: Arc::new(batch),
            queue,
            waiting: waiting.clone(),
            carried: None,
            stop: stop.clone(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            tasks: tasks.clone(),
        };
        tasks.spawn(worker.run());
        Self {
            groups,
            waiting,
            stop,
        }
    }

    /// Does the requests with the next calls; answers for each, in order. When the caller stops waiting before
    /// a call is sent, nothing of it happens; afterwards it happens whole.
    pub(super) async fn ask(&self, requests: Vec<B::Request>) -> Vec<Result<B::Reply, StoreError>> {
        let asked: Vec<_> = groups_of::<B>(requests)
            .map(|(requests, bytes)| (requests.len(), self.enqueue(requests, bytes)))
            .collect();
        let deadline = Instant::now() + DEADLINE;
        let mut answers = Vec::new();
        for (requests, answered) in asked {
            let replies = match answered {
                Ok(answered) => match timeout_at(deadline, answered).await {
                    Ok(answered) => answered.unwrap_or_else(|_| Err(closed())),
                    Err(_) => Err(StoreError::Deadline(DEADLINE)),
                },
                Err(error) => Err(error),
            };
            match replies {
                Ok(replies) => answers.extend(replies.into_iter().map(Ok)),
                Err(error) => answers.extend((0..requests).map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    /// As [`Self::ask`], with all requests in one call, whatever their number and size.
    pub(super) async fn ask_at_once(
        &self,
        requests: Vec<B::Request>,
    ) -> Result<Vec<B::Reply>, StoreError> {
        let bytes = requests.iter().map(B::bytes).sum();
        let answered = self.enqueue(requests, bytes)?;
        match timeout(DEADLINE, answered).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(StoreError::Deadline(DEADLINE)),
        }
    }

    fn enqueue(
        &self,
        requests: Vec<B::Request>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Replies<B>>, StoreError> {
        if self.stop.is_cancelled() {
            return Err(closed());
        }
        let count = requests.len();
        if self.waiting.fetch_add(count, Ordering::Relaxed) + count > WAITING_MAX {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return Err(overloaded());
        }
        let (answer, answered) = oneshot::channel();
        let group = Group {
            requests,
            bytes,
            answer,
        };
        self.groups.send(group).map_err(|_| closed())?;
        Ok(answered)
    }
}

/// With the bytes of each.
fn groups_of<B: Batch>(
    requests: Vec<B::Request>,
) -> impl Iterator<Item = (Vec<B::Request>, usize)> {
    let mut requests = requests.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut group = vec![requests.next()?];
        let mut bytes = B::bytes(&group[0]);
        let fits = |len: usize, bytes: usize| len < BATCH_MAX && bytes <= BATCH_BYTES_MAX;
        while let Some(next) = requests.next_if(|next| fits(group.len(), bytes + B::bytes(next))) {
            bytes += B::bytes(&next);
            group.push(next);
        }
        Some((group, bytes))
    })
}

struct Worker<B: Batch> {
    batch: Arc<B>,
    queue: mpsc::UnboundedReceiver<Group<B>>,
    /// Requests in the queue.
    waiting: Arc<AtomicUsize>,
    /// Taken from the queue, but too large for the batch it was taken for.
    carried: Option<Group<B>>,
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
            if self.waiting.load(Ordering::Relaxed) >= MANY
                && let Ok(second) = self.calls.clone().acquire_owned().await
            {
                permit.merge(second);
            }
            let batch = self.fill(first);
            self.tasks.spawn(send(self.batch.clone(), batch, permit));
        }
    }

    /// `None` when the queue is stopped and empty.
    async fn next(&mut self) -> Option<Group<B>> {
        if let Some(carried) = self.carried.take() {
            return Some(carried);
        }
        let group = tokio::select! {
            biased;
            group = self.queue.recv() => group,
            () = self.stop.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
        };
        group.inspect(|group| self.taken(group))
    }

    fn fill(&mut self, first: Group<B>) -> Vec<Group<B>> {
        let (mut requests, mut bytes) = (first.requests.len(), first.bytes);
        let mut batch = vec![first];
        while requests < BATCH_MAX {
            let Ok(group) = self.queue.try_recv() else {
                break;
            };
            self.taken(&group);
            requests += group.requests.len();
            bytes += group.bytes;
            if requests > BATCH_MAX || bytes > BATCH_BYTES_MAX {
                self.carried = Some(group);
                break;
            }
            batch.push(group);
        }
        batch
    }

    fn taken(&self, group: &Group<B>) {
        self.waiting
            .fetch_sub(group.requests.len(), Ordering::Relaxed);
    }
}

async fn send<B: Batch>(batch: Arc<B>, groups: Vec<Group<B>>, permit: OwnedSemaphorePermit) {
    let mut requests = Vec::new();
    let mut callers = Vec::with_capacity(groups.len());
    for group in groups {
        // Whoever stopped waiting has been told nothing: not to do it is still «whole or not at all».
        if !group.answer.is_closed() {
            callers.push((group.requests.len(), group.answer));
            requests.extend(group.requests);
        }
    }
    if requests.is_empty() {
        return;
    }
    let replies = match batch.call(&requests).await {
        Ok(replies) if replies.len() == requests.len() => Ok(replies),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(error),
    };
    drop(permit);
    let mut replies = replies.map(Vec::into_iter);
    for (count, answer) in callers {
        let mine = match &mut replies {
            Ok(replies) => Ok(replies.take(count).collect()),
            Err(error) => Err(error.clone()),
        };
        // A caller that has gone needs no answer.
        drop(answer.send(mine));
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

fn overloaded() -> StoreError {
    StoreError::Unavailable("too many calls wait for Redis".into())
}
