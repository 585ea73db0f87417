//! Entries that are on their way while their reader does something else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::error::ServerError;
use super::fetch::{Answer, Request};
use super::line::{ANSWER, Connection};
use super::runtime;
use super::wait::wait_for;
use super::{Feed, Reading, trips};
use crate::clock::boot_ns;
use crate::sync::Mutex;
use crate::timings::Trip;

/// A key that is asked for, and the sequence of its stripe at that time: what is stored or deleted here from then on
/// is newer than the answer.
pub(crate) type Asked = (Box<[u8]>, u64);

type Outcome = Result<Answer, ServerError>;

#[derive(Default)]
struct Place {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// Entries that were asked for, and what has changed in the domain. Awaited, it is ready when they are here; then
/// reads in [`Cache::within`](crate::Cache::within) need no trip for them.
pub struct Prefetch {
    began_ns: u64,
    feed: Arc<Feed>,
    asked: Arc<[Asked]>,
    place: Arc<Mutex<Place>>,
    is_lacking: AtomicBool,
    has_failed: AtomicBool,
}

impl Prefetch {
    /// Runs reads that find what was fetched at hand. What they do not use is there for the next ones.
    pub(crate) fn within<R>(&self, read: impl FnOnce() -> R) -> R {
        let fetched = match &mut self.place.lock().outcome {
            Some(Ok(answer)) => std::mem::take(&mut answer.fetched),
            _ => Vec::new(),
        };
        let reading = Reading::of(self.began_ns, fetched);
        let (result, is_lacking) = trips::noting(read);
        let left = reading.end();
        if is_lacking {
            self.is_lacking.store(true, Ordering::Relaxed);
        }
        if let Some(Ok(answer)) = &mut self.place.lock().outcome {
            answer.fetched = left;
        }
        result
    }

    /// Lets the engine know what has changed, once; why that was not to be had, once.
    pub(crate) fn take_news(&self) -> Result<(), ServerError> {
        let range = match &mut self.place.lock().outcome {
            Some(Ok(answer)) => answer.range.lock().take(),
            None => None,
            Some(failed) => {
                self.has_failed.store(true, Ordering::Relaxed);
                let told = std::mem::replace(failed, Ok(Answer::default()));
                return told.map(drop);
            }
        };
        if let Some(range) = range {
            self.feed.take_early(range);
        }
        Ok(())
    }

    /// Did reads miss something in it that it is worth asking for anew?
    pub(crate) fn is_lacking(&self) -> bool {
        self.is_lacking.load(Ordering::Relaxed) && !self.has_failed.load(Ordering::Relaxed)
    }

    /// The keys that were asked for.
    pub(crate) fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Has it arrived?
    pub fn is_ready(&self) -> bool {
        self.place.lock().outcome.is_some()
    }

    /// Has it arrived? If not, `waker` is woken when it does, by a thread that must not be kept waiting.
    pub fn poll_ready(&self, waker: &Waker) -> bool {
        let mut place = self.place.lock();
        if place.outcome.is_none() {
            place.waker = Some(waker.clone());
        }
        place.outcome.is_some()
    }

    /// Blocks this thread until it has arrived, which it does in any case, or for `longest`. Says whether it has.
    pub fn wait(&self, longest: Duration) -> bool {
        let arrives = |context: &mut Context<'_>| {
            if self.poll_ready(context.waker()) { Poll::Ready(()) } else { Poll::Pending }
        };
        wait_for(std::future::poll_fn(arrives), longest).is_some()
    }
}

impl Future for Prefetch {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.poll_ready(context.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl std::fmt::Debug for Prefetch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prefetch").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl Feed {
    /// Asks for entries without waiting for them; and for what has changed, if that is not known well enough or `must`
    /// be known better. An answer that does not come is an error after a while, so the future always ends.
    pub(crate) fn prefetch(self: &Arc<Self>, keys: Vec<Asked>, must: bool) -> Prefetch {
        let began_ns = boot_ns();
        let place = Arc::new(Mutex::new(Place::default()));
        let asked: Arc<[Asked]> = keys.into();
        let prefetch = Prefetch {
            began_ns,
            feed: Arc::clone(self),
            asked: Arc::clone(&asked),
            place: Arc::clone(&place),
            is_lacking: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
        };
        let line = self.line.load_full();
        let feed = Arc::clone(self);
        let fetching = async move {
            line.begun().await;
            let outcome = match line.connection(&feed.address) {
                Ok(connection) => feed.answer(&connection, &asked, must || asked.is_empty()).await,
                Err(away) => Err(away),
            };
            arrive(&place, outcome);
        };
        if let Err(error) = runtime::spawn(fetching) {
            arrive(&prefetch.place, Err(self.failed(&error.to_string())));
        }
        prefetch
    }

    async fn answer(&self, connection: &Connection, asked: &[Asked], must: bool) -> Outcome {
        let keys: Vec<&[u8]> = asked.iter().map(|(key, _)| &**key).collect();
        let request = Request::new(self, connection, &keys, must);
        let sent = runtime::within(ANSWER, request.send(connection));
        let reply = match &self.timings {
            Some(timings) => timings.time_async(Trip::Read, sent).await,
            None => sent.await,
        };
        match reply {
            Some(Ok(reply)) => request.read(self, asked, reply),
            Some(Err(error)) => Err(ServerError::of(&self.address, &error)),
            None => {
                self.line.load().break_off(connection.number, self.timed_out());
                Err(self.timed_out())
            }
        }
    }
}

fn arrive(place: &Mutex<Place>, outcome: Outcome) {
    let waker = {
        let mut place = place.lock();
        place.outcome = Some(outcome);
        place.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}
