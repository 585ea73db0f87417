//! As much of a Redis server as zoocache uses, for tests that simulate whole clusters in one thread: no clock, thread,
//! randomness or I/O of its own. The same calls at the same times give the same replies.
//!
//! It follows Redis 7.0, as a connection that speaks RESP3 sees it; `tests/differential.rs` compares the two. What
//! it knows nothing of, such as other options of a command, is refused as `ERR not simulated`.

mod command;
mod commands;
mod glob;
mod keyspace;
mod lua;
mod number;
mod reply;
mod script;
mod sorted_set;
mod store;
mod values;

pub use keyspace::Data;

use std::cell::RefCell;
use std::rc::Rc;

use redis::Value;

use lua::Lua;
use store::Store;

/// A server process, and the data it has.
pub struct Server {
    store: Rc<RefCell<Store>>,
    lua: Lua,
}

impl Server {
    /// An empty server process. `replid` is what `INFO replication` tells: 40 hexadecimal digits.
    pub fn new(replid: &str) -> Self {
        let store = Rc::new(RefCell::new(Store::new(replid)));
        Self { lua: Lua::new(&store), store }
    }

    /// Runs one command at a time of the server's clock, in microseconds. Errors are [`Value::ServerError`].
    ///
    /// `PUBLISH` says that nobody has heard it: who listens is known to whoever calls this.
    pub fn call(&mut self, now_us: u64, command: &[Vec<u8>]) -> Value {
        self.store.borrow_mut().now_us = now_us;
        let reply = match self.lua.call(&self.store, command) {
            Some(reply) => reply,
            None => self.store.borrow_mut().call(command),
        };
        reply.into_value()
    }

    /// What was published since the last call of this: channels and messages.
    pub fn take_published(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.store.borrow_mut().published)
    }

    /// The data as a backup or a replica has it. Costs next to nothing; the first write after it copies the list of
    /// keys, and the first write to a table copies that.
    pub fn data(&self) -> Data {
        self.store.borrow().data.clone()
    }

    /// Another process begins on this data: scripts are forgotten, and `INFO replication` tells another id.
    pub fn restart(&mut self, data: Data, replid: &str) {
        self.lua.forget();
        let mut store = self.store.borrow_mut();
        store.data = data;
        replid.clone_into(&mut store.replid);
    }

    /// The same process has other data: a backup was put back by commands.
    pub fn replace(&mut self, data: Data) {
        self.store.borrow_mut().data = data;
    }

    /// Are writes refused as a replica refuses them (`READONLY`)?
    pub fn set_read_only(&mut self, read_only: bool) {
        self.store.borrow_mut().troubles.is_read_only = read_only;
    }

    /// Are writes refused as a primary with too few replicas refuses them (`NOREPLICAS`)?
    pub fn set_lacks_replicas(&mut self, lacks_replicas: bool) {
        self.store.borrow_mut().troubles.lacks_replicas = lacks_replicas;
    }

    /// Is what may make it grow refused (`OOM`)? Of a script, the first write decides.
    pub fn set_full(&mut self, full: bool) {
        self.store.borrow_mut().troubles.is_full = full;
    }

    /// The keys that live at a time, always in the same order.
    pub fn keys(&self, now_us: u64) -> Vec<Vec<u8>> {
        self.store.borrow().data.keys(keyspace::milliseconds(now_us)).map(<[u8]>::to_vec).collect()
    }

    /// Removes a key, as a server does that needs room.
    pub fn evict(&mut self, key: &[u8]) {
        self.store.borrow_mut().data.remove(key);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("replid", &self.store.borrow().replid).finish_non_exhaustive()
    }
}
