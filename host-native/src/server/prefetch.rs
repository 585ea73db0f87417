//! Entries that are on their way while their reader does something else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::error::ServerError;
use super::fetch::{Fetched, Request};
use super::line::ANSWER;
use super::{Feed, Reading};
use crate::clock::boot_ns;

type Outcome = Result<Vec<Fetched>, ServerError>;

#[derive(Default)]
struct Place {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// Entries that were asked for. Awaited, it is ready when they are here; then [`within`](Self::within) reads them.
pub struct Prefetch {
    began_ns: u64,
    place: Arc<Mutex<Place>>,
}

impl Prefetch {
    /// Runs reads that find what was fetched at hand: they make no trip for it.
    pub fn within<R>(self, read: impl FnOnce() -> R) -> R {
        let outcome = self.place.lock().outcome.take();
        let _reading = Reading::of(self.began_ns, outcome.and_then(Result::ok).unwrap_or_default());
        read()
    }

    /// Has it arrived?
    pub fn is_ready(&self) -> bool {
        self.place.lock().outcome.is_some()
    }
}

impl Future for Prefetch {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut place = self.place.lock();
        if place.outcome.is_some() {
            return Poll::Ready(());
        }
        place.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl std::fmt::Debug for Prefetch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prefetch").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl Feed {
    /// Asks for entries without waiting for them. An answer that does not come is an error after a while, so
    /// the future always ends.
    pub(crate) fn prefetch(self: &Arc<Self>, keys: Vec<Box<[u8]>>) -> Prefetch {
        let began_ns = boot_ns();
        let place = Arc::new(Mutex::new(Place::default()));
        let prefetch = Prefetch { began_ns, place: Arc::clone(&place) };
        let started = self.connection().and_then(|connection| {
            let runtime = super::runtime::here().map_err(|error| self.failed(&error.to_string()))?;
            let feed = Arc::clone(self);
            let borrowed: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
            let request = Request::new(self, &connection, &borrowed);
            runtime.spawn(async move {
                let borrowed: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
                let outcome = match timeout(ANSWER, request.send(&connection)).await {
                    Ok(Ok(reply)) => request.read(&feed, &borrowed, reply),
                    Ok(Err(error)) => Err(ServerError::of(&feed.address, &error)),
                    Err(_) => {
                        feed.line.load().break_off(connection.number(), feed.timed_out());
                        Err(feed.timed_out())
                    }
                };
                arrive(&place, outcome);
            });
            Ok(())
        });
        if let Err(error) = started {
            arrive(&prefetch.place, Err(error));
        }
        prefetch
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
