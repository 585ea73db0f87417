//! Get or compute, for threads and for async tasks. Both share the same flights.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_timer::Delay;

use super::{Cache, Claim, Join, Leader, Lookup, Waited, Waiter};
use crate::config::Policy;
use crate::counters::Count;
use crate::entry::Entry;
use crate::error::{Error, Failure};
use crate::fill::{Entered, Fill, Within, current_fill};
use crate::flight::Landing;

/// What a round of waiting came to.
enum Round<V> {
    Value(V),
    Again,
    GaveUp,
}

/// What a leader that asked to compute alone came to.
enum Claimed<V: Send + Sync + 'static> {
    Lead(Leader<V>),
    Value(V),
    Again,
}

impl<V: Clone + Send + Sync + 'static> Claimed<V> {
    /// Of a leader that yielded to what another process stored.
    fn of(landing: Landing<V>) -> Self {
        match landing {
            Landing::Sealed(entry) => Self::Value(entry.value().clone()),
            _ => Self::Again,
        }
    }
}

/// The pauses of somebody who waits for another process, which can wake nobody: short at first, and `left` at most.
pub struct Pauses {
    left: Duration,
    next: Duration,
}

impl Pauses {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(20);

    /// As many as fit into `left`.
    pub fn until(timeout: Duration) -> Self {
        Self { left: timeout, next: Self::SHORTEST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.min(self.left);
        self.left -= pause;
        self.next = (self.next * 3 / 2).min(Self::LONGEST);
        (!pause.is_zero()).then_some(pause)
    }
}

/// How often a caller yields to what turns out to be stale already before it computes without the lock.
const MAX_YIELDS: u32 = 2;

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// The fresh value under `key`, if there is one.
    ///
    /// Inside a computation the value's dependencies become the computation's own.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<V> {
        match self.lookup(key.as_ref()) {
            Lookup::Hit(entry) => {
                self.count(Count::Hits);
                self.absorb(current_fill().as_ref(), &entry);
                Some(entry.value().clone())
            }
            Lookup::Miss(why) => {
                self.count(why);
                None
            }
        }
    }

    /// The fresh value under `key`, computed if need be, by one caller at a time.
    ///
    /// `compute` may declare more dependencies through its argument or [`crate::depend_on`], at any time,
    /// and may call the cache; what it uses of the cache becomes its own dependency.
    ///
    /// # Errors
    /// [`Error::Compute`] with the computation's own error, shared by all who waited for it;
    /// [`Error::Recursion`] if the computation asks for the key it computes.
    ///
    /// # Panics
    /// Passes on a panic of `compute`, after another caller that waits has taken over.
    ///
    /// ```
    /// use zoocache::{Cache, Policy};
    /// let cache = Cache::<u64>::builder().build()?;
    /// let policy = Policy::default().tag("orders")?;
    /// let total = cache.get_or_compute("total", &policy, |fill| {
    ///     fill.depend_on_text("customer:7")?;
    ///     Ok::<_, zoocache::Error>(99)
    /// })?;
    /// assert_eq!(total, 99);
    /// # Ok::<(), zoocache::Error>(())
    /// ```
    pub fn get_or_compute<E>(
        &self,
        key: impl AsRef<[u8]>,
        policy: &Policy,
        compute: impl FnOnce(&Fill) -> Result<V, E>,
    ) -> Result<V, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let key = key.as_ref();
        let parent = current_fill();
        if let Some(value) = self.hit(key, parent.as_ref()) {
            return Ok(value);
        }
        let (mut second_round, mut yields) = (false, 0);
        let leader = loop {
            match self.join(key, parent.as_ref(), second_round)? {
                Join::Hit(entry) => return Ok(entry.value().clone()),
                Join::Lead(leader) if policy.is_locked() && yields < MAX_YIELDS => {
                    match self.claim_blocking(leader) {
                        Claimed::Lead(leader) => break leader,
                        Claimed::Value(value) => return Ok(value),
                        Claimed::Again => yields += 1,
                    }
                }
                Join::Lead(leader) => break leader,
                Join::Wait(waiter) => match self.taken(waiter.wait(self.shared.parts.flight_timeout))? {
                    Round::Value(value) => return Ok(value),
                    Round::Again => second_round = true,
                    Round::GaveUp => {
                        waiter.give_up();
                        break self.lead_alone(key, parent.as_ref(), false);
                    }
                },
            }
        };
        leader.declare(policy);
        let computed = {
            let _entered = Entered::new(Some(Arc::clone(leader.fill())));
            compute(leader.fill())
        };
        Self::ended(leader, computed, policy)
    }

    /// [`get_or_compute`](Self::get_or_compute) for async code, on any runtime. Threads and tasks share
    /// flights; no executor thread is ever blocked. Dropping the returned future hands the computation
    /// over to a waiter.
    ///
    /// # Errors
    /// As [`get_or_compute`](Self::get_or_compute).
    ///
    /// ```
    /// use zoocache::{Cache, Policy};
    /// let cache = Cache::<u64>::builder().build()?;
    /// let policy = Policy::default();
    /// let answer = cache.get_or_compute_async("answer", &policy, async |_| Ok::<_, zoocache::Error>(42));
    /// assert_eq!(futures::executor::block_on(answer)?, 42);
    /// # Ok::<(), zoocache::Error>(())
    /// ```
    pub async fn get_or_compute_async<E>(
        &self,
        key: impl AsRef<[u8]>,
        policy: &Policy,
        compute: impl AsyncFnOnce(Arc<Fill>) -> Result<V, E>,
    ) -> Result<V, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let key = key.as_ref();
        let parent = current_fill();
        let (mut second_round, mut yields) = (false, 0);
        let leader = loop {
            match self.join_async(key, parent.as_ref(), second_round).await? {
                Join::Hit(entry) => return Ok(entry.value().clone()),
                Join::Lead(leader) if policy.is_locked() && yields < MAX_YIELDS => {
                    match self.claim_async(leader).await {
                        Claimed::Lead(leader) => break leader,
                        Claimed::Value(value) => return Ok(value),
                        Claimed::Again => yields += 1,
                    }
                }
                Join::Lead(leader) => break leader,
                Join::Wait(waiter) => {
                    let end = Wait::new(&waiter, self.shared.parts.flight_timeout).await;
                    match self.taken(end)? {
                        Round::Value(value) => return Ok(value),
                        Round::Again => second_round = true,
                        Round::GaveUp => {
                            waiter.give_up();
                            break self.lead_alone(key, parent.as_ref(), false);
                        }
                    }
                }
            }
        };
        leader.declare(policy);
        let fill = Arc::clone(leader.fill());
        let computed = Within { future: Box::pin(compute(Arc::clone(&fill))), fill }.await;
        let policy = policy.finish();
        match computed {
            Ok(value) => {
                let kept = value.clone();
                self.aside(move || leader.finish_with(kept, policy)).await;
                Ok(value)
            }
            Err(error) => {
                let failure = Failure::from(error.into());
                let told = Arc::clone(&failure);
                self.aside(move || leader.fail(told)).await;
                Err(Error::Compute(failure))
            }
        }
    }

    /// [`join`](Self::join), or a hit, after waiting for what it needs to be fetched.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_async, reason = "nothing is fetched without a server")
    )]
    async fn join_async(
        &self,
        key: &[u8],
        parent: Option<&Arc<Fill>>,
        second_round: bool,
    ) -> Result<Join<V>, Error> {
        #[cfg(feature = "redis")]
        if self.needs_trip(key)
            && let Some(mut prefetch) = self.prefetch(&[key])
        {
            (&mut prefetch).await;
            if let Lookup::Hit(entry) = self.within(&prefetch, || self.lookup(key)) {
                return Ok(self.taken_hit(parent, entry));
            }
            // Others may have stored it meanwhile: joining may ask again.
            let (cache, key, parent) = (self.clone(), key.to_vec(), parent.cloned());
            return self.aside(move || cache.join(&key, parent.as_ref(), second_round)).await;
        }
        match self.lookup_near(key) {
            Lookup::Hit(entry) => Ok(self.taken_hit(parent, entry)),
            Lookup::Miss(_) => self.join(key, parent, second_round),
        }
    }

    fn taken_hit(&self, parent: Option<&Arc<Fill>>, entry: Arc<Entry<V>>) -> Join<V> {
        self.count(Count::Hits);
        self.absorb(parent, &entry);
        Join::Hit(entry)
    }

    /// Does what may wait for a server on a thread that is there for that; here, if there is no server.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_async, reason = "nothing waits without a server")
    )]
    async fn aside<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        #[cfg(feature = "redis")]
        if self.is_far() {
            return crate::server::aside(work).await;
        }
        work()
    }

    fn claim_blocking(&self, mut leader: Leader<V>) -> Claimed<V> {
        let timeout = self.shared.parts.flight_timeout;
        for pause in Pauses::until(timeout) {
            match leader.claim(timeout) {
                Claim::Ours => return Claimed::Lead(leader),
                Claim::Found(entry) => return Claimed::of(leader.yield_to(entry)),
                Claim::Busy => leader.pause(pause),
            }
        }
        leader.give_up_claim();
        Claimed::Lead(leader)
    }

    async fn claim_async(&self, mut leader: Leader<V>) -> Claimed<V> {
        let timeout = self.shared.parts.flight_timeout;
        for pause in Pauses::until(timeout) {
            let question = self.aside(move || {
                let claim = leader.claim(timeout);
                (leader, claim)
            });
            let (same, claim) = question.await;
            leader = same;
            match claim {
                Claim::Ours => return Claimed::Lead(leader),
                Claim::Found(entry) => return Claimed::of(leader.yield_to(entry)),
                Claim::Busy => Delay::new(pause).await,
            }
        }
        leader.give_up_claim();
        Claimed::Lead(leader)
    }

    #[inline]
    fn hit(&self, key: &[u8], parent: Option<&Arc<Fill>>) -> Option<V> {
        let Lookup::Hit(entry) = self.lookup_near(key) else { return None };
        self.count(Count::Hits);
        self.absorb(parent, &entry);
        Some(entry.value().clone())
    }

    #[expect(clippy::unused_self, reason = "reads as a question to the cache, beside `ended`")]
    fn taken(&self, waited: Option<Waited<V>>) -> Result<Round<V>, Error> {
        match waited {
            Some(Waited::Entry(entry)) => Ok(Round::Value(entry.value().clone())),
            Some(Waited::Value(value)) => Ok(Round::Value(V::clone(&value))),
            Some(Waited::Failed(failure)) => Err(Error::Compute(failure)),
            Some(Waited::Again) => Ok(Round::Again),
            None => Ok(Round::GaveUp),
        }
    }

    fn ended<E>(leader: Leader<V>, computed: Result<V, E>, policy: &Policy) -> Result<V, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match computed {
            Ok(value) => {
                leader.finish_with(value.clone(), policy.finish());
                Ok(value)
            }
            Err(error) => {
                let failure = Failure::from(error.into());
                leader.fail(Arc::clone(&failure));
                Err(Error::Compute(failure))
            }
        }
    }
}

/// Waits for a flight without blocking the thread.
struct Wait<'a, V: Send + Sync + 'static> {
    waiter: &'a Waiter<V>,
    deadline: Delay,
}

impl<'a, V: Send + Sync + 'static> Wait<'a, V> {
    fn new(waiter: &'a Waiter<V>, timeout: Duration) -> Self {
        Self { waiter, deadline: Delay::new(timeout) }
    }
}

impl<V: Send + Sync + 'static> Future for Wait<'_, V> {
    type Output = Option<Waited<V>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(waited) = self.waiter.poll(context.waker()) {
            return Poll::Ready(Some(waited));
        }
        Pin::new(&mut self.deadline).poll(context).map(|()| None)
    }
}
