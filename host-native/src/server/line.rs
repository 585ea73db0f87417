//! The connection to the server: made, watched, and made again.
//!
//! Everything that a forked child must not touch is here; the child takes a new line.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisResult,
    ServerErrorKind, Value, cmd,
};
use tokio::sync::Notify;
use zoocache_core::Timestamp;

use super::error::ServerError;
use super::inbox::{Inbox, Item};
use super::row::{self, Told};
use super::runtime::{sleep, within};
use super::script::{HELLO, INVALIDATE, PUT, Script};
use super::unlocked::Unlocked;
use super::{Address, Feed, attend, mutant};
use crate::clock::boot_ns;
use crate::random::{random_u64, random_u128};
use crate::sync::{Condvar, Mutex};

/// A server that does not answer for so long is away.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// So long may connecting take.
pub(super) const CONNECT: Duration = Duration::from_secs(3);
/// An invalidation waits so long for a connection that is just being made again.
const PATIENCE_NS: u64 = 300_000_000;
/// Pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The way to the server.
#[derive(Clone)]
enum Wire {
    Real(MultiplexedConnection),
    #[cfg(feature = "simulation")]
    Simulated(u64),
}

/// A connection, and the incarnation of the domain that was found through it.
pub(super) struct Connection {
    wire: Wire,
    /// Hears the bells: on a connection of its own, as a server bounds what waits to be sent to one that listens.
    ear: Option<Wire>,
    pub(super) incarnation: u128,
    /// The clock of the incarnation when it was entered: those that come later have a later one.
    clock: Timestamp,
    /// Tells connections apart.
    pub(super) number: u64,
    /// The position that its name says.
    called: AtomicU64,
}

impl Connection {
    pub(super) async fn send(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        match &self.wire {
            Wire::Real(wire) => {
                let commands = pipeline.cmd_iter().count();
                wire.clone().send_packed_commands(pipeline, 0, commands).await
            }
            #[cfg(feature = "simulation")]
            Wire::Simulated(number) => crate::simulation::wire::send(*number, pipeline),
        }
    }

    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        match &self.wire {
            Wire::Real(wire) => wire.clone().send_packed_command(command).await?.extract_error(),
            #[cfg(feature = "simulation")]
            Wire::Simulated(number) => crate::simulation::wire::ask(*number, command),
        }
    }

    /// Runs a script by its hash; by its text if the server does not know it.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> RedisResult<Vec<Value>> {
        let command = |name: &str, script: &str| {
            let mut command = cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let reply = match self.ask(&command("EVALSHA", &script.hash)).await {
            Err(error)
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
                    && !mutant::is_on("no_script_text") =>
            {
                self.ask(&command("EVAL", &script.text)).await?
            }
            reply => reply?,
        };
        match reply {
            Value::Array(values) => Ok(values),
            value => Ok(vec![value]),
        }
    }

    /// The same connection, after another incarnation was found through it.
    pub(super) fn in_incarnation(&self, entered: Entered) -> Self {
        let Entered { incarnation, clock } = entered;
        let (wire, ear) = (self.wire.clone(), self.ear.clone());
        let called = AtomicU64::new(self.called.load(Ordering::Relaxed));
        Self { wire, ear, incarnation, clock, number: self.number, called }
    }

    /// Says who this is, and up to where it has been told; a server may refuse it.
    pub(super) async fn call_itself(&self, feed: &Feed, told: Timestamp) {
        let is_real = matches!(self.wire, Wire::Real(_));
        if is_real && self.called.swap(told.as_micros(), Ordering::Relaxed) != told.as_micros() {
            let mut name = cmd("CLIENT");
            name.arg("SETNAME").arg(feed.calling.client(feed.names(), told));
            let _ = within(ANSWER, self.ask(&name)).await;
        }
    }
}

/// What `hello` found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    incarnation: u128,
    clock: Timestamp,
}

/// Why there is no connection.
struct Away {
    since_ns: u64,
    cause: Option<ServerError>,
    /// Attempts that failed, in a row.
    attempts: u32,
}

/// What keeps the connection.
pub(super) struct Line {
    connection: ArcSwapOption<Connection>,
    away: Mutex<Away>,
    changed: Condvar,
    pub(super) inbox: Inbox,
    /// Something is to be done in the background.
    pub(super) wake: Notify,
    pub(super) unlocked: Unlocked,
}

impl Line {
    pub(super) fn new(is_behind: &Arc<AtomicBool>) -> Arc<Self> {
        let away = Away { since_ns: boot_ns(), cause: None, attempts: 0 };
        Arc::new(Self {
            connection: ArcSwapOption::empty(),
            away: Mutex::new(away),
            changed: Condvar::new(),
            inbox: Inbox::new(is_behind),
            wake: Notify::new(),
            unlocked: Unlocked::default(),
        })
    }

    /// The connection, if there is one.
    pub(super) fn present(&self) -> Option<Arc<Connection>> {
        self.connection.load_full()
    }

    /// The connection, or why there is none.
    pub(super) fn connection(&self, address: &Address) -> Result<Arc<Connection>, ServerError> {
        self.present().ok_or_else(|| self.why_away(address))
    }

    /// Is it being made for the first time? So it is in a child that was just forked.
    pub(super) fn is_beginning(&self) -> bool {
        self.present().is_none() && {
            let away = self.away.lock();
            away.attempts == 0 && away.cause.is_none()
        }
    }

    /// Waits a little for a connection that is being made for the first time.
    pub(super) async fn begun(&self) {
        let until_ns = boot_ns().saturating_add(PATIENCE_NS);
        while self.is_beginning() && boot_ns() < until_ns {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The connection; waits a little for one that was lost just now.
    pub(super) fn patiently(&self, address: &Address) -> Result<Arc<Connection>, ServerError> {
        let mut away = self.away.lock();
        loop {
            if let Some(connection) = self.present() {
                return Ok(connection);
            }
            let left_ns = PATIENCE_NS.saturating_sub(boot_ns().saturating_sub(away.since_ns));
            if left_ns == 0 {
                drop(away);
                return Err(self.why_away(address));
            }
            (away, _) = self.changed.wait_for(away, Duration::from_nanos(left_ns));
        }
    }

    /// Waits for the first attempt to end.
    pub(super) fn first_attempt(&self, address: &Address) -> Result<(), ServerError> {
        let mut away = self.away.lock();
        while self.present().is_none() && away.attempts == 0 {
            let timed_out;
            (away, timed_out) = self.changed.wait_for(away, CONNECT + ANSWER);
            if timed_out {
                break;
            }
        }
        drop(away);
        self.connection(address).map(drop)
    }

    fn why_away(&self, address: &Address) -> ServerError {
        let cause = self.away.lock().cause.clone();
        cause.unwrap_or_else(|| ServerError::Away {
            server: address.shown().to_owned(),
            cause: "not connected yet".to_owned(),
        })
    }

    pub(super) fn set(&self, connection: Connection) {
        let mut away = self.away.lock();
        *away = Away { since_ns: 0, cause: None, attempts: 0 };
        self.connection.store(Some(Arc::new(connection)));
        self.changed.notify_all();
    }

    /// Takes another incarnation, unless the connection is another one by now, or has entered a later one.
    pub(super) fn enter(&self, connection: &Connection, entered: Entered) {
        let _order = self.away.lock();
        let present = self.present();
        if present
            .is_some_and(|present| present.number == connection.number && present.clock <= entered.clock)
        {
            self.connection.store(Some(Arc::new(connection.in_incarnation(entered))));
        }
    }

    /// Gives up a connection; the background makes another.
    pub(super) fn break_off(&self, connection: u64, cause: ServerError) {
        let mut away = self.away.lock();
        if self.present().is_some_and(|present| present.number == connection) {
            *away = Away { since_ns: boot_ns(), cause: Some(cause), attempts: 0 };
            self.connection.store(None);
            self.wake.notify_one();
        }
    }

    fn failed(&self, cause: ServerError) {
        let mut away = self.away.lock();
        away.attempts = away.attempts.saturating_add(1);
        away.cause = Some(cause);
        self.changed.notify_all();
    }
}

/// Hears the bells of one connection, and its end.
struct Ear {
    line: Weak<Line>,
    connection: u64,
    server: String,
}

impl AsyncPushSender for Ear {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        let Some(line) = self.line.upgrade() else { return Ok(()) };
        match (push.kind, push.data.last()) {
            (PushKind::Message, Some(Value::BulkString(told))) => match Told::read(told) {
                Told::Rows(rows) => line.inbox.put(Item::Rows(rows)),
                Told::Something => line.inbox.put_doubt(),
                Told::Unlocked(lock) => line.unlocked.tell(&lock),
            },
            (PushKind::Disconnection, _) => {
                let cause = "the connection was closed".to_owned();
                line.break_off(self.connection, ServerError::Away { server: self.server.clone(), cause });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Keeps a connection for as long as the feed lives.
pub(super) async fn maintain(feed: Weak<Feed>, line: Arc<Line>) {
    let mut failures = 0_u32;
    loop {
        let Some(alive) = feed.upgrade() else { return };
        let connected = within(CONNECT, connect(&alive, &line)).await;
        let failed = match connected {
            Some(Ok(())) => {
                drop(alive);
                // One with which nothing can be done is as good as none.
                let has_worked = attend::attend(&feed, &line).await;
                failures = if has_worked { 0 } else { failures.saturating_add(1) };
                None
            }
            Some(Err(error)) => Some(ServerError::of(alive.address(), &error)),
            None => Some(alive.timed_out_after(CONNECT)),
        };
        if let Some(cause) = failed {
            line.failed(cause);
            failures = failures.saturating_add(1);
        }
        if failures > 0 {
            let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
            // At random, so that nodes that lost a server do not come back all at once.
            sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }
}

async fn connect(feed: &Feed, line: &Arc<Line>) -> RedisResult<()> {
    #[cfg(feature = "simulation")]
    let connection =
        if crate::simulation::is_running() { simulated(feed, line) } else { open(feed, line).await }?;
    #[cfg(not(feature = "simulation"))]
    let connection = open(feed, line).await?;
    for script in [&*HELLO, &*INVALIDATE, &*PUT] {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(&script.text);
        connection.ask(&load).await?;
    }
    let entered = hello(feed, &connection, None).await?;
    // What was told on the connection before is not here.
    if !mutant::is_on("trust_connection") {
        line.inbox.put_doubt();
    }
    line.set(connection.in_incarnation(entered));
    Ok(())
}

/// A connection that has entered no incarnation yet.
async fn open(feed: &Feed, line: &Arc<Line>) -> RedisResult<Connection> {
    let client = feed.address().client(&feed.names().table).await?;
    let number = random_u64();
    let ear =
        || Ear { line: Arc::downgrade(line), connection: number, server: feed.address().shown().to_owned() };
    let config = || {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None)
            .set_push_sender(ear())
    };
    let mut listening = client.get_multiplexed_async_connection_with_config(&config()).await?;
    let ear = match listening.subscribe(&feed.names().bell).await {
        Ok(()) => Some(Wire::Real(listening)),
        // Who may not listen learns of everything by asking, later.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => None,
        Err(error) => return Err(error),
    };
    let wire = Wire::Real(client.get_multiplexed_async_connection_with_config(&config()).await?);
    let called = AtomicU64::new(u64::MAX);
    let connection = Connection { wire, ear, incarnation: 0, clock: Timestamp::ZERO, number, called };
    connection.call_itself(feed, Timestamp::ZERO).await;
    Ok(connection)
}

#[cfg(feature = "simulation")]
fn simulated(feed: &Feed, line: &Arc<Line>) -> RedisResult<Connection> {
    use crate::simulation::Heard;
    let number = random_u64();
    let ear =
        Ear { line: Arc::downgrade(line), connection: number, server: feed.address().shown().to_owned() };
    let hears = move |heard| {
        let told = match heard {
            Heard::Message(told) => PushInfo { kind: PushKind::Message, data: vec![Value::BulkString(told)] },
            Heard::Closed => PushInfo { kind: PushKind::Disconnection, data: Vec::new() },
        };
        let _ = ear.send(told);
    };
    let wire = Wire::Simulated(crate::simulation::wire::connect(Box::new(hears))?);
    let called = AtomicU64::new(0);
    Ok(Connection { wire, ear: None, incarnation: 0, clock: Timestamp::ZERO, number, called })
}

/// Enters the domain, through a new connection or after its table was lost; but not the incarnation that is `given_up`.
pub(super) async fn hello(
    feed: &Feed,
    connection: &Connection,
    given_up: Option<u128>,
) -> RedisResult<Entered> {
    let seen = feed.seen();
    // What this connection has entered counts, too, although nobody may have read it yet: it enters nothing earlier.
    let clock = seen.clock.max(connection.clock);
    let [clock, latest] = [clock, seen.latest].map(|at| at.as_micros().to_string());
    let [old, new] = [seen.incarnation, random_u128()].map(row::incarnation_text);
    let given_up = given_up.map(row::incarnation_text).unwrap_or_default();
    let marks = feed.mark_rows();
    let mut arguments: Vec<_> = [&old, &clock, &latest, &new, &given_up].map(String::as_bytes).into();
    arguments.extend(marks.iter().map(Vec::as_slice));
    let names = feed.names();
    let reply = connection.run(&HELLO, &[&names.table, &names.bell], &arguments).await?;
    let entered = match &reply[..] {
        [Value::BulkString(incarnation), Value::BulkString(now), Value::BulkString(clock)] => {
            feed.set_server_clock(row::position(now).map_or(0, Timestamp::as_micros));
            row::incarnation(incarnation).zip(row::position(clock))
        }
        _ => None,
    };
    let (incarnation, clock) =
        entered.ok_or_else(|| RedisError::from((ErrorKind::Parse, "an unexpected reply of the server")))?;
    Ok(Entered { incarnation, clock })
}
