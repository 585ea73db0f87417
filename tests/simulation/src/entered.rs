//! What the cache asks of the simulation while it runs in it.

use std::rc::Rc;

use redis::{RedisResult, Value};
use zoocache::simulation::{Ear, World as Asked};

use crate::net::Net;
use crate::world::World;

/// A world that a thread has entered.
pub(crate) struct Entered(pub(crate) Rc<World>, pub(crate) Rc<Net>);

impl Asked for Entered {
    fn step(&self) {
        self.0.step();
    }

    fn block(&self, until_ns: Option<u64>) {
        let machine = self.0.machine(self.0.here());
        self.0.wait(until_ns.map(|until_ns| machine.time_of(until_ns)));
    }

    fn boot_ns(&self) -> u64 {
        self.0.machine(self.0.here()).boot_ns()
    }

    fn spawn(&self, task: Box<dyn FnOnce()>) {
        self.0.begin(self.0.here(), task);
    }

    fn connect(&self, ear: Ear) -> RedisResult<u64> {
        self.1.connect(&self.0, self.0.here(), ear)
    }

    fn call(&self, connection: u64, commands: &[Vec<Vec<u8>>]) -> RedisResult<Vec<Value>> {
        self.1.call(&self.0, connection, commands)
    }
}
