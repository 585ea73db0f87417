//! The network and the server at its end: requests and answers take their time, and some never arrive.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult, Value};
use zoocache::WallClock;
use zoocache::simulation::{Ear, Heard};
use zoocache_simulated_redis::{Data, Server};

use crate::machine::Machine;
use crate::world::{Place, World};

/// So long a client waits for an answer.
const ANSWER_NS: u64 = 2_000_000_000;
/// How many states of the data are remembered, for servers that go back to one.
const REMEMBERED: usize = 12;

/// A client's connection, for requests and for what is published.
struct Connection {
    place: Place,
    ear: Rc<Ear>,
    is_open: bool,
    /// What was published and has not arrived.
    coming: VecDeque<Vec<u8>>,
}

/// What the network does to what is sent; times are the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) delay_ns: u64,
    /// One in so many requests fails: before it arrives, or when its answer is on its way. 0 for none.
    pub(crate) one_in_fails: u64,
    /// One in so many messages is lost, comes twice, or overtakes others. 0 for none.
    pub(crate) one_in_lost: u64,
}

thread_local! {
    /// Its interpreter takes longer to make than most runs.
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

pub(crate) struct Net {
    server: RefCell<Option<Server>>,
    pub(crate) machine: Arc<Machine>,
    connections: RefCell<Vec<Connection>>,
    pub(crate) weather: Cell<Weather>,
    is_down: Cell<bool>,
    /// Until when the server does nothing.
    stopped_until_ns: Cell<u64>,
    /// Which processes cannot reach it, until when.
    cut_off: RefCell<BTreeMap<Place, u64>>,
    past: RefCell<VecDeque<Data>>,
    /// How many of those are of the present history: nothing was lost since.
    since_loss: Cell<usize>,
    /// The latest time that the server has seen.
    latest_us: Cell<u64>,
    commands: Cell<u64>,
}

fn fails(cause: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, cause))
}

impl Net {
    pub(crate) fn new(machine: Arc<Machine>, weather: Weather) -> Self {
        let mut server = SERVER.take().unwrap_or_else(|| Server::new(&replid(0)));
        server.restart(Data::default(), &replid(1));
        Self {
            server: RefCell::new(Some(server)),
            machine,
            connections: RefCell::default(),
            weather: Cell::new(weather),
            is_down: Cell::new(false),
            stopped_until_ns: Cell::new(0),
            cut_off: RefCell::default(),
            past: RefCell::default(),
            since_loss: Cell::new(0),
            latest_us: Cell::default(),
            commands: Cell::new(0),
        }
    }

    /// Gives the server back for another run.
    pub(crate) fn close(&self) {
        SERVER.set(self.server.take());
    }

    fn server(&self) -> RefMut<'_, Server> {
        RefMut::map(self.server.borrow_mut(), |server| {
            server.as_mut().expect("invariant: it is there until the end")
        })
    }

    // ---- What processes do -------------------------------------------------------------------------

    pub(crate) fn connect(&self, world: &World, place: Place, ear: Ear) -> RedisResult<u64> {
        self.travel(world, place)?;
        if self.is_down.get() {
            return Err(fails("refused"));
        }
        let mut connections = self.connections.borrow_mut();
        connections.push(Connection { place, ear: Rc::new(ear), is_open: true, coming: VecDeque::new() });
        Ok(connections.len() as u64 - 1)
    }

    pub(crate) fn call(
        self: &Rc<Self>,
        world: &Rc<World>,
        connection: u64,
        commands: &[Vec<Vec<u8>>],
    ) -> RedisResult<Vec<Value>> {
        let (connection, place) = (usize::try_from(connection).unwrap_or(0), world.here());
        let fails_at = self.weather.get().one_in_fails;
        let fault = if fails_at > 0 && world.one_in(fails_at) { world.below(2) + 1 } else { 0 };
        self.travel(world, place)?;
        if fault == 1 {
            self.cut(world, connection);
        }
        let mut answers = Vec::new();
        for command in commands {
            // Others' commands come in between.
            world.step();
            if self.is_down.get() || !self.is_open(connection) {
                return Err(fails("the connection was lost"));
            }
            answers.push(self.execute(world, command));
        }
        if fault == 2 {
            self.cut(world, connection);
        }
        self.travel(world, place)?;
        if self.is_open(connection) { Ok(answers) } else { Err(fails("the answer was lost")) }
    }

    fn is_open(&self, connection: usize) -> bool {
        self.connections.borrow()[connection].is_open
    }

    /// The way from a process to the server, or back.
    fn travel(&self, world: &World, place: Place) -> RedisResult<()> {
        if world.is_dead(place) {
            return Err(fails("dead"));
        }
        let began_ns = world.now_ns();
        world.pause(world.below(self.weather.get().delay_ns) + 1);
        loop {
            let cut_off_ns = self.cut_off.borrow().get(&place).copied().unwrap_or(0);
            let until_ns = cut_off_ns.max(self.stopped_until_ns.get()).min(began_ns + ANSWER_NS);
            if world.is_dead(place) {
                return Err(fails("dead"));
            }
            if world.now_ns() >= began_ns + ANSWER_NS {
                return Err(fails("no answer"));
            }
            if world.now_ns() >= until_ns {
                return Ok(());
            }
            world.pause(until_ns - world.now_ns());
        }
    }

    fn execute(self: &Rc<Self>, world: &Rc<World>, command: &[Vec<u8>]) -> Value {
        let now_us = self.machine.now_us();
        self.latest_us.set(now_us.max(self.latest_us.get()));
        let answer = self.server().call(now_us, command);
        self.commands.set(self.commands.get() + 1);
        if world.one_in(40) {
            let mut past = self.past.borrow_mut();
            past.push_back(self.server().data());
            self.since_loss.set((self.since_loss.get() + 1).min(REMEMBERED));
            if past.len() > REMEMBERED {
                past.pop_front();
            }
        }
        let published = self.server().take_published();
        for (_, message) in published {
            self.publish(world, &message);
        }
        answer
    }

    fn publish(self: &Rc<Self>, world: &Rc<World>, message: &[u8]) {
        let lost = self.weather.get().one_in_lost;
        let many = self.connections.borrow().len();
        for number in 0..many {
            if !self.is_open(number) {
                continue;
            }
            let fault = if lost > 0 && world.one_in(lost) { 1 + world.below(3) } else { 0 };
            let times = match fault {
                1 => 0,
                2 => 2,
                _ => 1,
            };
            for _ in 0..times {
                let place = {
                    let mut connections = self.connections.borrow_mut();
                    let connection = &mut connections[number];
                    // One that overtakes.
                    if fault == 3 {
                        connection.coming.push_front(message.to_vec());
                    } else {
                        connection.coming.push_back(message.to_vec());
                    }
                    connection.place
                };
                let (net, world_there) = (Rc::clone(self), Rc::clone(world));
                world.begin(place, move || net.deliver(&world_there, number));
            }
        }
    }

    fn deliver(&self, world: &World, connection: usize) {
        let place = world.here();
        if self.travel(world, place).is_err() {
            return;
        }
        let (ear, message) = {
            let mut connections = self.connections.borrow_mut();
            let connection = &mut connections[connection];
            if !connection.is_open {
                return;
            }
            (Rc::clone(&connection.ear), connection.coming.pop_front())
        };
        if let Some(message) = message {
            ear(Heard::Message(message));
        }
    }

    // ---- What goes wrong ---------------------------------------------------------------------------

    /// Closes a connection; sometimes its client learns of it only when it uses it.
    fn cut(&self, world: &World, connection: usize) {
        let (ear, place) = {
            let mut connections = self.connections.borrow_mut();
            let connection = &mut connections[connection];
            connection.is_open = false;
            (Rc::clone(&connection.ear), connection.place)
        };
        if !world.one_in(4) {
            world.begin(place, move || ear(Heard::Closed));
        }
    }

    /// Closes the connections of a process, or of all.
    pub(crate) fn cut_all(&self, world: &World, of: Option<Place>) {
        let many = self.connections.borrow().len();
        for connection in 0..many {
            let place = self.connections.borrow()[connection].place;
            if self.is_open(connection) && of.is_none_or(|of| of == place) {
                self.cut(world, connection);
            }
        }
    }

    pub(crate) fn cut_off(&self, world: &World, place: Place, for_ns: u64) {
        self.cut_off.borrow_mut().insert(place, world.now_ns() + for_ns);
    }

    pub(crate) fn stop(&self, world: &World, for_ns: u64) {
        self.stopped_until_ns.set(world.now_ns() + for_ns);
    }

    pub(crate) fn go_down(&self, world: &World) {
        self.is_down.set(true);
        self.cut_all(world, None);
    }

    /// Another process begins, on the data that there is now, on none, or on what there was some time ago.
    pub(crate) fn restart(&self, world: &World, from: From) {
        let data = self.data_of(world, from, usize::MAX);
        self.since_loss.set(0);
        self.server().restart(data, &replid(world.below(u64::MAX)));
        self.is_down.set(false);
        self.cut_all(world, None);
    }

    /// The same process has other data. Not of before another loss: who has seen nothing in between cannot know of that.
    pub(crate) fn replace(&self, world: &World, from: From) {
        let data = self.data_of(world, from, self.since_loss.replace(0));
        self.server().replace(data);
    }

    fn data_of(&self, world: &World, from: From, latest: usize) -> Data {
        let past = self.past.borrow();
        let back = usize::try_from(world.below(past.len().min(latest) as u64)).unwrap_or(0);
        match from {
            From::Now => self.server().data(),
            From::Past if latest == 0 => Data::default(),
            From::Past => past.iter().nth_back(back).cloned().unwrap_or_default(),
            From::Nothing => Data::default(),
        }
    }

    /// Is the server's clock behind what it was before?
    pub(crate) fn is_behind_itself(&self) -> bool {
        self.machine.now_us() < self.latest_us.get()
    }

    /// A full server removes a key: the table of the domain, or any.
    pub(crate) fn evict(&self, world: &World, is_table: bool) {
        let mut keys = self.server().keys(self.machine.now_us());
        keys.retain(|key| key.ends_with(b":V") == is_table);
        if !keys.is_empty() {
            let index = usize::try_from(world.below(keys.len() as u64)).unwrap_or(0);
            self.server().evict(&keys[index]);
            self.since_loss.set(if is_table { 0 } else { self.since_loss.get() });
        }
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.server().set_full(is_full);
    }

    pub(crate) fn set_read_only(&self, is_read_only: bool) {
        self.server().set_read_only(is_read_only);
    }

    pub(crate) fn set_lacks_replicas(&self, lacks: bool) {
        self.server().set_lacks_replicas(lacks);
    }

    /// All is well again.
    pub(crate) fn heal(&self, weather: Weather) {
        self.is_down.set(false);
        self.set_full(false);
        self.set_read_only(false);
        self.set_lacks_replicas(false);
        self.cut_off.borrow_mut().clear();
        self.weather.set(weather);
    }
}

/// Which data a server begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Now,
    Past,
    Nothing,
}

fn replid(number: u64) -> String {
    format!("{number:040x}")
}
