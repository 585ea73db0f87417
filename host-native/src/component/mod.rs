//! The engine as a WebAssembly component, in this process: a cache runs on it as on the native one.
//!
//! It is slower by what a call into it costs; what it is for is to run the very bytes that other hosts run. Tags are named by
//! a native engine that judges nothing. All calls go one after another, and after each that changed something the
//! signals that hits read without a call are brought up to date.
//!
//! Should the component trap (it has used up the memory it may have), a new one begins: everything stored before is
//! stale then, nothing is wrong.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings;
mod convert;
mod instance;
mod machine;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zoocache_core::{
    Cause, ClockError, DomainId, EngineConfig, EngineStats, Header, LogRow, MarkId, Order, Rejected,
    SettleError, Signals, Tag, TagHandle, Timestamp, Verdict,
};

use crate::engine::{Begun, Engine, Proof, Sealing};
use crate::lock::{Mutex, MutexGuard};
use bindings::exports::zoocache::engine::types;
use convert::as_text;
use instance::Failed;
pub(crate) use instance::Resource;
pub use machine::ComponentError;
use machine::Machine;

/// The engine of a component.
pub struct ComponentEngine {
    signals: Arc<Signals>,
    /// Names tags, and carries entries.
    names: Mutex<zoocache_core::Engine>,
    shared: Arc<Shared>,
    /// What lies above must not be forgotten: entries outside the process may still need it.
    horizon_us: AtomicU64,
}

/// What its entries need, too.
pub(crate) struct Shared {
    machine: Mutex<Machine>,
    /// Resources that nobody needs any more. To be dropped at the next call: whoever drops them may be in one.
    unneeded: Mutex<Vec<Resource>>,
}

/// What an entry keeps of the component, beside its names.
pub(crate) enum Held {
    Entry(Resource, Arc<Shared>),
    /// One that was only looked at: judged by its header.
    Header(Vec<u8>),
}

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Entry(resource, shared) = self {
            shared.unneeded.lock().push(*resource);
        }
    }
}

impl ComponentEngine {
    /// Runs the component with these bytes, as `dist/zoocache-engine.wasm` has them, in a domain of its own.
    ///
    /// # Errors
    /// [`ComponentError`] if they are no component of world `engine-component`.
    ///
    /// # Complexity
    /// Compiles it: some hundred milliseconds.
    pub fn new(bytes: &[u8], domain: DomainId, hash_seed: u64) -> Result<Self, ComponentError> {
        Self::with_memory(bytes, domain, hash_seed, machine::MEMORY)
    }

    /// [`new`](Self::new) that may use so many bytes of memory. When they are used up everything is forgotten, and what is
    /// stored is stale.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_memory(
        bytes: &[u8],
        domain: DomainId,
        hash_seed: u64,
        memory: usize,
    ) -> Result<Self, ComponentError> {
        let config = EngineConfig { domain, order: Order::Own, hash_seed, ..EngineConfig::default() };
        let names = zoocache_core::Engine::new(config.clone());
        let machine = Machine::start(bytes, config, memory)?;
        let engine = Self {
            signals: Arc::clone(names.signals()),
            names: Mutex::new(names),
            shared: Arc::new(Shared { machine: Mutex::new(machine), unneeded: Mutex::default() }),
            horizon_us: AtomicU64::new(u64::MAX),
        };
        drop(engine.machine());
        Ok(engine)
    }

    /// The machine, for one call.
    fn machine(&self) -> Turn<'_> {
        let mut machine = self.shared.machine.lock();
        // Taken at once: whoever drops an entry meanwhile must not wait.
        let unneeded = std::mem::take(&mut *self.shared.unneeded.lock());
        for resource in unneeded {
            machine.drop_resource(resource);
        }
        Turn { machine, engine: self }
    }

    /// An entry of the component, under names of tags that it may be looked at by.
    fn proof(&self, as_of: u64, dependencies: &[TagHandle], held: Held) -> Proof {
        let sealed = self.names.lock().carry(Timestamp::from_micros(as_of), dependencies);
        Proof::held(sealed, held)
    }

    fn handles(&self, header: &Header) -> Vec<TagHandle> {
        let names = &mut *self.names.lock();
        header.dependencies.iter().map(|dependency| names.intern(&dependency.tag)).collect()
    }

    fn verdict_of(&self, proof: &Proof) -> Result<types::Verdict, Failed> {
        match proof.foreign() {
            Some(Held::Entry(entry, _)) => self.machine().judge_entry(*entry),
            Some(Held::Header(header)) => self.machine().judge(header, 0),
            None => Err(Failed),
        }
    }
}

/// The machine while it is this thread's turn. At its end hits see what was changed.
struct Turn<'a> {
    machine: MutexGuard<'a, Machine>,
    engine: &'a ComponentEngine,
}

impl std::ops::Deref for Turn<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl std::ops::DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.machine.changed() {
            self.engine.names.lock().mirror(state);
        }
    }
}

impl Engine for ComponentEngine {
    fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    fn begin(&self, now_us: u64) -> Begun {
        Begun::held(self.machine().begin(now_us))
    }

    fn abandon(&self, begun: Begun) {
        if let Some(fill) = begun.foreign() {
            self.machine().drop_resource(fill);
        }
    }

    fn forget_fills(&self) {
        self.machine().forget_fills();
    }

    fn seal(&self, begun: Begun, result: &Sealing<'_>) -> Result<Proof, Rejected> {
        let Some(fill) = begun.foreign() else { return Err(Rejected::Foreign) };
        let tags: Vec<String> = result.dependencies.iter().map(|handle| as_text(&handle.tag())).collect();
        let bound = Some(result.as_of_bound.as_micros());
        let mut machine = self.machine();
        let (entry, as_of) = machine.seal(fill, &tags, bound, result.now_us)?;
        let epoch = machine.epoch();
        drop(machine);
        let proof = self.proof(as_of, result.dependencies, Held::Entry(entry, Arc::clone(&self.shared)));
        if let Some(epoch) = epoch {
            proof.prove(epoch);
        }
        Ok(proof)
    }

    fn judge(&self, proof: &Proof) -> Verdict {
        // FIRST: what is remembered must not be newer than the look.
        let epoch = self.signals.epoch();
        match self.verdict_of(proof).map(|verdict| convert::verdict(&verdict)) {
            Ok(Verdict::Fresh) => {
                proof.prove(epoch);
                Verdict::Fresh
            }
            Ok(verdict) => verdict,
            Err(Failed) => Verdict::Foreign,
        }
    }

    fn blame(&self, proof: &Proof) -> Option<Cause> {
        match self.verdict_of(proof) {
            Ok(types::Verdict::Stale(cause)) => convert::cause(&cause),
            _ => None,
        }
    }

    fn header(&self, proof: &Proof, created_us: u64, expires_us: u64) -> Option<Header> {
        let bytes = match proof.foreign() {
            Some(Held::Entry(entry, _)) => self.machine().header(*entry, created_us, expires_us).ok()??,
            Some(Held::Header(header)) => header.clone(),
            None => return None,
        };
        Header::decode(&bytes).ok().map(|(header, _)| header)
    }

    fn intern(&self, tag: &Tag) -> TagHandle {
        self.names.lock().intern(tag)
    }

    fn invalidate(&self, tags: &[Tag], now_us: u64) -> Result<Timestamp, ClockError> {
        let tags: Vec<String> = tags.iter().map(as_text).collect();
        self.machine().invalidate(&tags, now_us)
    }

    fn apply_log(&self, rows: &[LogRow], to: Timestamp) {
        self.machine().apply_log(rows, Some(to));
    }

    fn apply_rows(&self, rows: &[LogRow]) {
        self.machine().apply_log(rows, None);
    }

    fn doubt(&self) {
        self.machine().doubt();
    }

    fn domain(&self) -> DomainId {
        self.machine().domain()
    }

    fn reset_domain(&self, domain: DomainId, floor: Timestamp) {
        self.machine().reset_domain(domain, floor);
    }

    fn raise_floor(&self, floor: Timestamp) {
        self.machine().raise_floor(floor);
    }

    fn set_horizon(&self, horizon: Timestamp) {
        self.horizon_us.fetch_max(horizon.as_micros(), Ordering::Relaxed);
        self.machine().set_horizon(horizon);
    }

    fn judge_header(&self, header: &Header, now_us: u64) -> Verdict {
        let judged = self.machine().judge(&header.encode(), now_us);
        judged.map_or(Verdict::Unknown, |verdict| convert::verdict(&verdict))
    }

    fn admit(&self, header: &Header, now_us: u64) -> Result<Proof, Rejected> {
        let mut machine = self.machine();
        let (entry, as_of) = machine.admit(&header.encode(), now_us)?;
        drop(machine);
        let held = Held::Entry(entry, Arc::clone(&self.shared));
        Ok(self.proof(as_of, &self.handles(header), held))
    }

    fn inspect(&self, header: &Header) -> Option<Proof> {
        if header.domain != self.domain() {
            return None;
        }
        let bytes = Header { expires_us: 0, ..header.clone() }.encode();
        Some(self.proof(header.as_of.as_micros(), &self.handles(header), Held::Header(bytes)))
    }

    fn settle_at(&self, mark: MarkId, at: Timestamp) -> Result<(), SettleError> {
        self.machine().settle_at(mark, at)
    }

    fn latest(&self, tag: &Tag) -> Timestamp {
        self.machine().latest(tag)
    }

    fn change(&self, tags: &[Tag], deadline_us: u64, now_us: u64) -> MarkId {
        let tags: Vec<String> = tags.iter().map(as_text).collect();
        self.machine().change(&tags, deadline_us, now_us)
    }

    fn settle(&self, mark: MarkId, now_us: u64) -> Result<Timestamp, SettleError> {
        self.machine().settle(mark, now_us)
    }

    fn prune(&self, horizon: Timestamp, budget: usize) -> usize {
        let kept = Timestamp::from_micros(self.horizon_us.load(Ordering::Relaxed));
        self.names.lock().prune(Timestamp::MAX, budget);
        self.machine().prune(horizon.min(kept), budget)
    }

    fn stats(&self) -> EngineStats {
        self.machine().stats()
    }
}

impl std::fmt::Debug for ComponentEngine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ComponentEngine").finish_non_exhaustive()
    }
}
