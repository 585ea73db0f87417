//! The connection to the server: made, watched, and made again.
//!
//! Everything that a forked child must not touch is here; the child takes a new line. One connection carries requests
//! and bells, so the bells of what happened before a reply are here before it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisResult,
    ServerErrorKind, Value, cmd,
};
use tokio::sync::Notify;

use super::error::ServerError;
use super::inbox::{Inbox, Item};
use super::row::Told;
use super::script::{HELLO, INVALIDATE, PUT, Script};
use super::unlocked::Unlocked;
use super::{Address, Feed, attend};
use crate::clock::boot_ns;

/// A server that does not answer for so long is away.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// So long may connecting take.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// An invalidation waits so long for a connection that is just being made again.
const PATIENCE: Duration = Duration::from_millis(300);
/// Pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection, and the incarnation of the domain that was found through it.
pub(super) struct Connection {
    multiplexed: MultiplexedConnection,
    pub(super) incarnation: u128,
    /// Tells connections apart.
    number: u64,
}

impl Connection {
    pub(super) async fn send(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let commands = pipeline.cmd_iter().count();
        self.multiplexed.clone().send_packed_commands(pipeline, 0, commands).await
    }

    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        self.multiplexed.clone().send_packed_command(command).await?.extract_error()
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
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
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
    pub(super) fn in_incarnation(&self, incarnation: u128) -> Self {
        Self { multiplexed: self.multiplexed.clone(), incarnation, number: self.number }
    }
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
    pub(super) fn new() -> Arc<Self> {
        let away = Away { since_ns: boot_ns(), cause: None, attempts: 0 };
        Arc::new(Self {
            connection: ArcSwapOption::empty(),
            away: Mutex::new(away),
            changed: Condvar::new(),
            inbox: Inbox::default(),
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
        let patience_ns = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let until_ns = boot_ns().saturating_add(patience_ns);
        while self.is_beginning() && boot_ns() < until_ns {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The connection; waits a little for one that was lost just now.
    pub(super) fn patiently(&self, address: &Address) -> Result<Arc<Connection>, ServerError> {
        let patience_ns = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let mut away = self.away.lock();
        loop {
            if let Some(connection) = self.present() {
                return Ok(connection);
            }
            let left_ns = patience_ns.saturating_sub(boot_ns().saturating_sub(away.since_ns));
            if left_ns == 0 {
                drop(away);
                return Err(self.why_away(address));
            }
            self.changed.wait_for(&mut away, Duration::from_nanos(left_ns));
        }
    }

    /// Waits for the first attempt to end.
    pub(super) fn first_attempt(&self, address: &Address) -> Result<(), ServerError> {
        let mut away = self.away.lock();
        while self.present().is_none() && away.attempts == 0 {
            if self.changed.wait_for(&mut away, CONNECT + ANSWER).timed_out() {
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

    /// Takes another incarnation, unless the connection is another one by now.
    pub(super) fn enter(&self, connection: &Connection, incarnation: u128) {
        let _order = self.away.lock();
        if self.present().is_some_and(|present| present.number == connection.number) {
            self.connection.store(Some(Arc::new(connection.in_incarnation(incarnation))));
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

    fn failed(&self, cause: ServerError) -> u32 {
        let mut away = self.away.lock();
        away.attempts = away.attempts.saturating_add(1);
        away.cause = Some(cause);
        self.changed.notify_all();
        away.attempts
    }
}

impl Connection {
    pub(super) fn number(&self) -> u64 {
        self.number
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
    loop {
        let Some(alive) = feed.upgrade() else { return };
        let server = alive.address().shown().to_owned();
        let connected = tokio::time::timeout(CONNECT, connect(&alive, &line)).await;
        drop(alive);
        let cause = match connected {
            Ok(Ok(())) => {
                attend::attend(&feed, &line).await;
                continue;
            }
            Ok(Err(error)) => ServerError::of(&server, &error),
            Err(_) => ServerError::Timeout { server, millis: CONNECT.as_millis() },
        };
        let attempts = line.failed(cause);
        let longest = FIRST_PAUSE.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE);
        // At random, so that nodes that lost a server do not come back all at once.
        tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

async fn connect(feed: &Feed, line: &Arc<Line>) -> RedisResult<()> {
    let client = feed.address().client().await?;
    let number = fastrand::u64(..);
    let ear =
        Ear { line: Arc::downgrade(line), connection: number, server: feed.address().shown().to_owned() };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_push_sender(ear);
    let mut multiplexed = client.get_multiplexed_async_connection_with_config(&config).await?;
    // Who may not listen learns of everything by asking, later.
    if let Err(error) = multiplexed.subscribe(&feed.names().bell).await
        && error.kind() != ErrorKind::Server(ServerErrorKind::NoPerm)
    {
        return Err(error);
    }
    let connection = Connection { multiplexed, incarnation: 0, number };
    for script in [&*HELLO, &*INVALIDATE, &*PUT] {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(&script.text);
        connection.ask(&load).await?;
    }
    let incarnation = hello(feed, &connection).await?;
    // What was told on the connection before is not here.
    line.inbox.put_doubt();
    line.set(connection.in_incarnation(incarnation));
    Ok(())
}

/// Enters the domain, through a new connection or after its table was lost.
pub(super) async fn hello(feed: &Feed, connection: &Connection) -> RedisResult<u128> {
    let (incarnation, seen) = feed.seen();
    let (incarnation, seen) = (format!("{incarnation:032x}"), seen.as_micros().to_string());
    let new = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let marks = feed.mark_rows();
    let mut arguments = vec![incarnation.as_bytes(), seen.as_bytes(), new.as_bytes()];
    arguments.extend(marks.iter().map(Vec::as_slice));
    let names = feed.names();
    let reply = connection.run(&HELLO, &[&names.table, &names.bell], &arguments).await?;
    let incarnation = match &reply[..] {
        [Value::BulkString(incarnation), _] => {
            std::str::from_utf8(incarnation).ok().and_then(|text| u128::from_str_radix(text, 16).ok())
        }
        _ => None,
    };
    incarnation.ok_or_else(|| RedisError::from((ErrorKind::Parse, "an unexpected reply of the server")))
}
