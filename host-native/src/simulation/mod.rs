//! Deterministic simulation: many nodes and tasks on one thread, with the time and the server that the simulation gives.
//!
//! A simulation [`enter`]s a thread with its [`World`]; from then on locks, waits, clocks and trips to a server ask it. It
//! runs each task on a stack of its own and switches between them at [`step`]s; what belongs to a task and lies in the
//! thread ([`Locals`]) it changes with them. Not part of what the crate promises; see `tests/simulation`.

pub(crate) mod locks;
#[cfg(feature = "redis")]
pub(crate) mod wire;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use zoocache_core::simulation::step;

#[cfg(feature = "redis")]
pub use wire::{Ear, Heard};

use crate::fill::{Entered, Fill, swap_current};
#[cfg(any(feature = "lmdb", feature = "redis"))]
use crate::{Builder, Cache, Error, codec::ValueCodec, engine::Engine, sequencer::Sequencer, storage::Rows};

/// What a simulation decides. Called on the thread that entered it, in the name of the task that runs.
pub trait World {
    /// Others may run here.
    fn step(&self);
    /// The task cannot go on before something else has happened, or before this time of [`boot_ns`](Self::boot_ns).
    fn block(&self, until_ns: Option<u64>);
    /// The clock of the task's node that never goes back, in nanoseconds.
    fn boot_ns(&self) -> u64;
    /// Begins another task of the same node.
    fn spawn(&self, task: Box<dyn FnOnce()>);
    /// Connects the task's node with its server.
    ///
    /// # Errors
    /// When that cannot be reached.
    #[cfg(feature = "redis")]
    fn connect(&self, ear: Ear) -> redis::RedisResult<u64>;
    /// What the server answers to these commands; some may have been run if it is an error.
    ///
    /// # Errors
    /// When the answer does not arrive.
    #[cfg(feature = "redis")]
    fn call(&self, connection: u64, commands: &[Vec<Vec<u8>>]) -> redis::RedisResult<Vec<redis::Value>>;
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
    static IS_UNDISTURBED: Cell<u32> = const { Cell::new(0) };
}

/// Lets this thread be a simulation's, or none any more.
pub fn enter(world: Option<Rc<dyn World>>) {
    IS_RUNNING.set(world.is_some());
    zoocache_core::simulation::on_step(world.is_some().then_some(step_here as fn()));
    WORLD.set(world);
}

fn step_here() {
    if IS_UNDISTURBED.get() == 0
        && let Some(world) = world()
    {
        world.step();
    }
}

/// Runs what no other task may run beside.
pub(crate) fn undisturbed<R>(work: impl FnOnce() -> R) -> R {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            IS_UNDISTURBED.set(IS_UNDISTURBED.get() - 1);
        }
    }
    IS_UNDISTURBED.set(IS_UNDISTURBED.get() + 1);
    let _end = End;
    work()
}

/// Cloned: whoever runs meanwhile asks too.
fn world() -> Option<Rc<dyn World>> {
    WORLD.with_borrow(Clone::clone)
}

/// Is this thread a simulation's?
#[inline]
pub(crate) fn is_running() -> bool {
    IS_RUNNING.get()
}

pub(crate) fn block(until_ns: Option<u64>) {
    if let Some(world) = world() {
        world.block(until_ns);
    }
}

/// The simulation's time, if there is one.
#[inline]
pub(crate) fn boot_ns() -> Option<u64> {
    if is_running() { world().map(|world| world.boot_ns()) } else { None }
}

fn deadline(timeout: Duration) -> Option<u64> {
    let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    boot_ns().map(|now_ns| now_ns.saturating_add(timeout_ns))
}

fn is_over(until_ns: Option<u64>) -> bool {
    until_ns.zip(boot_ns()).is_some_and(|(until_ns, now_ns)| now_ns >= until_ns)
}

/// Lets the task sleep; `false` where there is no simulation.
pub(crate) fn pause(time: Duration) -> bool {
    if !is_running() {
        return false;
    }
    let until_ns = deadline(time);
    while !is_over(until_ns) {
        block(until_ns);
    }
    true
}

/// Runs a computation whose leader was asked for by hand.
pub fn computing<R>(fill: &Arc<Fill>, compute: impl FnOnce() -> R) -> R {
    let _entered = Entered::new(Some(Arc::clone(fill)));
    compute()
}

/// Builds a cache whose processes share what the simulation brings: entries in `rows`, invalidations that `sequencer`
/// orders.
///
/// # Errors
/// As of [`Builder::build`].
#[cfg(any(feature = "lmdb", feature = "redis"))]
pub fn build_over<V: Send + Sync + 'static>(
    builder: Builder<V>,
    engine: Arc<dyn Engine>,
    sequencer: Arc<dyn Sequencer>,
    (rows, codec): (Arc<dyn Rows>, Arc<dyn ValueCodec<V>>),
) -> Result<Cache<V>, Error> {
    builder.build_over(engine, sequencer, (rows, codec))
}

/// What belongs to a task and lies in its thread.
#[derive(Default)]
pub struct Locals {
    fill: Option<Arc<Fill>>,
    #[cfg(feature = "redis")]
    hand: crate::server::InHand,
}

impl Locals {
    /// Exchanges this task's with the thread's.
    pub fn swap(&mut self) {
        swap_current(&mut self.fill);
        #[cfg(feature = "redis")]
        self.hand.swap();
    }
}
