//! A running computation: what it has used so far, and inside which other computation it runs.
//!
//! A [`Fill`] collects dependencies while the user's function runs. Fills nest: a cached call inside a
//! cached call adds what it used to the outer fill. The chain of parents also answers two questions of
//! single flight: "does this key wait for itself?" and "do these computations wait for one another?".
//! It knows neither storage nor flights.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use zoocache_core::{DependencySet, Tag, TagError, Timestamp};

use crate::engine::{Begun, Engine};
use crate::entry::{Entry, LONG_AGO, NEVER};
use crate::mutant;
use crate::sync::Mutex;

/// A running computation. Shared by every thread and task that takes part in it.
pub struct Fill {
    cache: u64,
    key: Box<[u8]>,
    engine: Arc<dyn Engine>,
    parent: Option<Arc<Fill>>,
    used: Mutex<Used>,
    /// Fills whose results this one waits for; read and written under [`WAITS`] only.
    waits_for: Mutex<Vec<Arc<Fill>>>,
}

/// What a fill has used. `token` is taken when the fill ends.
struct Used {
    token: Option<Begun>,
    dependencies: DependencySet,
    expires_bound_ms: u64,
    as_of_bound: Timestamp,
    is_private: bool,
}

/// What a value, or a failure, was computed from.
#[derive(Debug)]
pub struct Basis {
    pub(crate) dependencies: DependencySet,
    /// The earliest hard expiry of what was used.
    pub(crate) expires_ms: u64,
    /// The lowest `as_of` of what was used although it was stale; else the highest there is.
    pub(crate) as_of_bound: Timestamp,
}

/// What a finished fill used.
pub(crate) struct Collected {
    pub(crate) token: Begun,
    pub(crate) basis: Basis,
    /// Whether the result is for the caller alone.
    pub(crate) is_private: bool,
}

/// Where a fill belongs.
pub(crate) struct Origin<'a> {
    pub(crate) cache: u64,
    pub(crate) key: &'a [u8],
    pub(crate) parent: Option<Arc<Fill>>,
}

/// Orders all changes of "who waits for whom": waiting is rare, a missed cycle would wait for ever.
static WAITS: Mutex<()> = Mutex::new(());

impl Fill {
    /// Begins a fill: its `as_of` is fixed here, before the computation reads anything.
    pub(crate) fn begin(engine: &Arc<dyn Engine>, now_us: u64, origin: Origin<'_>) -> Arc<Self> {
        Arc::new(Self {
            cache: origin.cache,
            key: Box::from(origin.key),
            engine: Arc::clone(engine),
            parent: origin.parent,
            used: Mutex::new(Used {
                token: Some(engine.begin(now_us)),
                dependencies: DependencySet::default(),
                expires_bound_ms: NEVER,
                as_of_bound: Timestamp::MAX,
                is_private: false,
            }),
            waits_for: Mutex::new(Vec::new()),
        })
    }

    /// Begins again, before the computation has read anything.
    pub(crate) fn begin_anew(&self, now_us: u64) {
        let token = self.engine.begin(now_us);
        let mut used = self.used.lock();
        let unused = if used.token.is_some() { used.token.replace(token) } else { Some(token) };
        drop(used);
        if let Some(token) = unused {
            self.engine.abandon(token);
        }
    }

    /// The key being computed.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Is the computation still running?
    pub fn is_open(&self) -> bool {
        self.used.lock().token.is_some()
    }

    /// This computation if it is running, else the nearest one around it that is.
    pub fn nearest_open(self: &Arc<Self>) -> Option<Arc<Self>> {
        let mut fill = self;
        while !fill.is_open() {
            fill = fill.parent.as_ref()?;
        }
        Some(Arc::clone(fill))
    }

    /// Declares that the result depends on `tag`. It does not matter when: dependencies are judged
    /// against the position at which the fill began. After the fill has ended it does nothing.
    pub fn depend_on(&self, tag: &Tag) {
        let handle = self.engine.intern(tag);
        self.use_while_open(|used| {
            used.dependencies.insert(handle);
        });
    }

    /// The same for the text of a tag.
    ///
    /// # Errors
    /// [`TagError`] if the text is not a valid tag; nothing is declared then.
    pub fn depend_on_text(&self, tag: &str) -> Result<(), TagError> {
        self.depend_on(&Tag::parse(tag)?);
        Ok(())
    }

    /// Declares that the result is for its caller alone, as one that was computed from what a transaction has
    /// written and not committed: it is not stored, and who waits for it computes. So are the results of the
    /// computations around this one. After the fill has ended it concerns those around it only.
    pub fn keep_private(&self) {
        for fill in self.chain() {
            fill.use_while_open(|used| used.is_private = true);
        }
    }

    /// Declares that the result depends on what `entry` depends on, and may not outlive it.
    ///
    /// After the fill has ended this concerns the nearest one around it that has not: a task can outlive
    /// the computation that started it, and hand its result to one further out.
    pub fn absorb_entry<V>(&self, cache: u64, entry: &Entry<V>) {
        self.first_open(|fill| fill.takes_entry(cache, entry));
    }

    /// Declares that the result was computed from `entry`, which is not fresh: then the result is not
    /// either. It depends on what `entry` depends on, is as of no later than `entry` is, and has expired
    /// when `entry` has; so it is born stale or expires at once.
    pub fn absorb_stale<V>(&self, cache: u64, entry: &Entry<V>) {
        if mutant::is_on("newer_as_of") {
            return self.absorb_entry(cache, entry);
        }
        self.first_open(|fill| {
            fill.takes_entry(cache, entry)
                && fill.bound_as_of(cache, entry.sealed().as_of())
                && fill.expire_by(entry.lapsed_expiry_ms())
        });
    }

    /// Declares that the result depends on what another computation used.
    pub(crate) fn absorb_basis(&self, cache: u64, basis: &Basis) {
        self.first_open(|fill| fill.takes_basis(cache, basis));
    }

    /// Asks this fill and those around it until one takes what is offered; one that has ended does not.
    fn first_open(&self, takes: impl Fn(&Self) -> bool) {
        let _taken = self.chain().any(takes);
    }

    fn takes_entry<V>(&self, cache: u64, entry: &Entry<V>) -> bool {
        if cache == self.cache {
            self.use_while_open(|used| used.dependencies.absorb(entry.sealed()));
        } else {
            // Another cache is another domain: its positions mean nothing here, its tags do.
            entry.sealed().dependencies().for_each(|handle| self.depend_on(&handle.tag()));
        }
        self.expire_by(entry.hard_expiry_ms())
    }

    fn takes_basis(&self, cache: u64, basis: &Basis) -> bool {
        if cache == self.cache {
            self.use_while_open(|used| used.dependencies.extend(basis.dependencies.iter().cloned()));
        } else {
            basis.dependencies.iter().for_each(|handle| self.depend_on(&handle.tag()));
        }
        if basis.as_of_bound != Timestamp::MAX {
            self.bound_as_of(cache, basis.as_of_bound);
        }
        self.expire_by(basis.expires_ms)
    }

    fn bound_as_of(&self, cache: u64, as_of: Timestamp) -> bool {
        if cache == self.cache {
            self.use_while_open(|used| used.as_of_bound = used.as_of_bound.min(as_of))
        } else {
            // Another domain's position says nothing here, so time has to say it.
            self.expire_by(LONG_AGO)
        }
    }

    fn expire_by(&self, at_ms: u64) -> bool {
        self.use_while_open(|used| used.expires_bound_ms = used.expires_bound_ms.min(at_ms))
    }

    /// What a fill that has ended "uses" would only be kept from being pruned. Returns whether it is open.
    fn use_while_open(&self, change: impl FnOnce(&mut Used)) -> bool {
        let mut used = self.used.lock();
        let is_open = used.token.is_some();
        if is_open {
            change(&mut used);
        }
        is_open
    }

    /// Ends the fill and hands out what it used; `None` if it has ended already.
    pub(crate) fn collect(&self) -> Option<Collected> {
        let mut used = self.used.lock();
        let token = used.token.take()?;
        Some(Collected {
            token,
            is_private: used.is_private,
            basis: Basis {
                dependencies: std::mem::take(&mut used.dependencies),
                expires_ms: used.expires_bound_ms,
                as_of_bound: used.as_of_bound,
            },
        })
    }

    /// The tags of everything used so far, in no order; none once the fill has ended.
    pub fn tags(&self) -> Vec<Tag> {
        let handles: Vec<_> = self.used.lock().dependencies.iter().cloned().collect();
        handles.iter().map(zoocache_core::TagHandle::tag).collect()
    }

    /// Ends a fill that stores nothing: what it used is used by the computation around it.
    pub fn pass_on(&self) {
        let Some(collected) = self.collect() else { return };
        self.engine.abandon(collected.token);
        if let Some(parent) = &self.parent {
            parent.absorb_basis(self.cache, &collected.basis);
        }
    }

    pub(crate) fn parent(&self) -> Option<&Arc<Fill>> {
        self.parent.as_ref()
    }

    /// Does this computation, or one it runs inside of, compute `key` of `cache`?
    pub(crate) fn computes(&self, cache: u64, key: &[u8]) -> bool {
        self.chain().any(|fill| fill.cache == cache && *fill.key == *key && fill.is_open())
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |fill| fill.parent.as_deref())
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        if let Some(token) = self.used.get_mut().token.take() {
            self.engine.abandon(token);
        }
    }
}

impl std::fmt::Debug for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill").field("key", &String::from_utf8_lossy(&self.key)).finish_non_exhaustive()
    }
}

/// "`waiter` waits for `target`", for as long as this lives.
pub(crate) struct WaitsFor {
    waiter: Option<Arc<Fill>>,
    target: Arc<Fill>,
}

impl WaitsFor {
    /// Notes the wait; `None` if it would close a circle of computations that wait for one another, in
    /// which case the caller must compute for itself.
    pub(crate) fn note(waiter: Option<&Arc<Fill>>, target: &Arc<Fill>) -> Option<Self> {
        if let Some(waiter) = waiter {
            let _order = WAITS.lock();
            if reaches(target, waiter) {
                return None;
            }
            for fill in waiter.chain() {
                fill.waits_for.lock().push(Arc::clone(target));
            }
        }
        Some(Self { waiter: waiter.cloned(), target: Arc::clone(target) })
    }
}

impl Drop for WaitsFor {
    fn drop(&mut self) {
        let Some(waiter) = &self.waiter else { return };
        let _order = WAITS.lock();
        for fill in waiter.chain() {
            let mut waits_for = fill.waits_for.lock();
            if let Some(index) = waits_for.iter().position(|target| Arc::ptr_eq(target, &self.target)) {
                waits_for.swap_remove(index);
            }
        }
    }
}

/// Does `from` wait, directly or through others, for a fill in the chain of `waiter`?
fn reaches(from: &Arc<Fill>, waiter: &Arc<Fill>) -> bool {
    let mut open = vec![Arc::clone(from)];
    let mut seen: Vec<*const Fill> = Vec::new();
    while let Some(fill) = open.pop() {
        if waiter.chain().any(|own| std::ptr::eq(own, Arc::as_ptr(&fill))) {
            return true;
        }
        if !seen.contains(&Arc::as_ptr(&fill)) {
            seen.push(Arc::as_ptr(&fill));
            open.extend(fill.waits_for.lock().iter().cloned());
        }
    }
    false
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Fill>>> = const { RefCell::new(None) };
}

/// The fill that the calling thread is computing, if it is inside one.
pub fn current_fill() -> Option<Arc<Fill>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Exchanges the fill that the thread is computing for another: tasks of a simulation share a thread.
#[cfg(feature = "simulation")]
pub(crate) fn swap_current(fill: &mut Option<Arc<Fill>>) {
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, fill));
}

/// Adds a dependency to the computation that is running on this thread; outside of one it does nothing.
///
/// # Errors
/// [`TagError`] if `tag` is not a valid tag.
///
/// ```
/// use zoocache::{Cache, Policy};
/// let cache = Cache::<u32>::builder().build()?;
/// let price = || { zoocache::depend_on("product:42")?; Ok::<_, zoocache::Error>(7) };
/// assert_eq!(cache.get_or_compute("price:42", &Policy::default(), |_| price())?, 7);
/// cache.invalidate(&["product"])?;
/// assert_eq!(cache.get("price:42"), None);
/// # Ok::<(), zoocache::Error>(())
/// ```
pub fn depend_on(tag: &str) -> Result<(), TagError> {
    let tag = Tag::parse(tag)?;
    if let Some(fill) = current_fill() {
        fill.depend_on(&tag);
    }
    Ok(())
}

/// Makes a fill the current one of this thread until dropped.
pub(crate) struct Entered {
    outer: Option<Arc<Fill>>,
}

impl Entered {
    pub(crate) fn new(fill: Option<Arc<Fill>>) -> Self {
        Self { outer: CURRENT.replace(fill) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.outer.take());
    }
}

/// Polls a future with `fill` as the current one, whichever thread polls it.
pub(crate) struct Within<F> {
    pub(crate) fill: Arc<Fill>,
    pub(crate) future: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = Entered::new(Some(Arc::clone(&self.fill)));
        self.future.as_mut().poll(context)
    }
}
