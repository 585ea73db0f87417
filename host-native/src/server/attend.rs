//! What is done in the background while there is a connection: asking who the server is and what has changed, sending
//! what could not be sent, settling announced changes that are overdue.
//!
//! It puts what it learns into the inbox. It takes no lock of the feed, only those of the line, which a forked child does
//! not use.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Value;
use zoocache_core::Timestamp;

use super::error::ServerError;
use super::inbox::{Item, Minted};
use super::line::{ANSWER, Connection, Line, hello};
use super::range::{PAGE, Range, ask};
use super::row;
use super::runtime::within;
use super::script::{CHECK, DELETE, DUE, INVALIDATE};
use super::{Announced, Consistency, Feed, mutant, with};
use crate::clock::boot_ns;

/// How often overdue marks are looked for, and the server is asked where no reader wants to be near it.
const IDLE: Duration = Duration::from_secs(1);

/// Returns when the connection is lost, or nobody needs it any more; says whether it was of use.
pub(super) async fn attend(feed: &Weak<Feed>, line: &Arc<Line>) -> bool {
    let mut has_worked = false;
    loop {
        let Some(alive) = feed.upgrade() else { return true };
        let Some(connection) = line.present() else { return has_worked };
        let pause = pause_of(&alive);
        let polls = has_worked || !mutant::is_on("trust_connection");
        if let Err(cause) = duties(&alive, line, &connection, polls).await {
            line.break_off(connection.number, cause);
            return has_worked;
        }
        drop((alive, connection));
        has_worked = true;
        // Woken, or the pause is over: both mean to look again.
        let _ = within(pause, line.wake.notified()).await;
    }
}

/// Half of what a near cache may be behind: then one answer that is late does no harm.
fn pause_of(feed: &Feed) -> Duration {
    match feed.consistency() {
        Consistency::Bounded(max_staleness) => (max_staleness / 2).clamp(Duration::from_millis(1), IDLE),
        Consistency::Strong => IDLE,
    }
}

async fn duties(feed: &Feed, line: &Line, connection: &Connection, polls: bool) -> Result<(), ServerError> {
    // First: what a server that is not the one any more answers is worth nothing.
    check(feed, line, connection).await?;
    replay(feed, line, connection).await?;
    delete(feed, line, connection).await?;
    settle_due(feed, line, connection).await?;
    if polls && matches!(feed.consistency(), Consistency::Bounded(_)) && !line.inbox.has_range() {
        poll(feed, line, connection).await?;
    }
    Ok(())
}

/// Is the server still the one whose table was entered, with everything that was seen in it, and may it write? Its role
/// changes without a word.
async fn check(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    let incarnation = row::incarnation_text(connection.incarnation);
    let seen = feed.from(connection.incarnation).as_micros().to_string();
    let names = feed.names();
    let keys = [names.table.as_str(), names.bell.as_str()];
    let arguments = [incarnation.as_bytes(), seen.as_bytes()];
    let reply = match answered(feed, connection.run(&CHECK, &keys, &arguments)).await {
        // No table at all.
        Err(ServerError::Failed { cause, .. }) if cause.contains("WRONGTYPE") => Reply::Lost,
        reply => Reply::read(&reply?),
    };
    match reply {
        Reply::Done(now, _) => feed.set_server_clock(now.as_micros()),
        Reply::Lost => {
            line.inbox.put_doubt();
            line.enter(connection, answered(feed, hello(feed, connection, None)).await?);
            line.wake.notify_one();
        }
        Reply::Other => return Err(feed.failed("an unexpected reply")),
    }
    Ok(())
}

async fn answered<T>(
    feed: &Feed,
    reply: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, ServerError> {
    match within(ANSWER, reply).await {
        Some(reply) => reply.map_err(|error| ServerError::of(feed.address(), &error)),
        None => Err(feed.timed_out()),
    }
}

async fn poll(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    let from = feed.from(connection.incarnation);
    let asked_ns = boot_ns();
    let reply = answered(feed, connection.ask(&ask(&feed.names().table, from, PAGE))).await;
    let reply = match reply {
        // The table is none: whoever reads finds that out, and makes a new one.
        Err(ServerError::Failed { .. }) => Value::Nil,
        reply => reply?,
    };
    let range = Range::read(&reply, (connection.incarnation, from), PAGE, asked_ns);
    let told = range.clock.map(|_| range.latest);
    line.inbox.put(Item::Range(range));
    if let Some(told) = told {
        connection.call_itself(feed, told).await;
    }
    Ok(())
}

/// Sends the invalidations that could not be sent.
async fn replay(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    if feed.outbox.load().is_due(boot_ns()) {
        feed.outbox.rcu(|outbox| with(outbox, |outbox| outbox.come_due(boot_ns())));
    }
    let Some((marks, owed)) = feed.outbox.load().failed() else { return Ok(()) };
    let incarnation = row::incarnation_text(connection.incarnation).into_bytes();
    let mut arguments = owed.arguments();
    arguments.push(feed.calling.node().into_bytes());
    let arguments: Vec<&[u8]> =
        std::iter::once(&incarnation[..]).chain(arguments.iter().map(Vec::as_slice)).collect();
    let names = feed.names();
    let keys = [names.table.as_str(), names.bell.as_str(), names.history.as_str()];
    let sent = answered(feed, connection.run(&INVALIDATE, &keys, &arguments)).await;
    // If the table was lost in between, the next look finds out, and this is sent again then.
    if let Ok(Reply::Done(at, before)) = sent.as_deref().map(Reply::read) {
        feed.sent(&marks);
        let (incarnation, owed) = (connection.incarnation, Arc::new(owed));
        line.inbox.put(Item::Minted(Minted { incarnation, at, before, is_row: true, owed, marks }));
    }
    sent.map(drop).or_else(unless_broken)
}

/// Deletes what could not be deleted.
async fn delete(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    let deletions = feed.outbox.load().deletions();
    for key in deletions {
        let incarnation = row::incarnation_text(connection.incarnation);
        let (row, node) = (row::key_row(&key), feed.node().to_string());
        let names = feed.names();
        let entry = names.entry(&key);
        let keys = [names.table.as_str(), names.bell.as_str(), entry.as_str()];
        let arguments = [incarnation.as_bytes(), &row, node.as_bytes()];
        let sent = answered(feed, connection.run(&DELETE, &keys, &arguments)).await;
        if let Ok(Reply::Done(at, before)) = sent.as_deref().map(Reply::read) {
            let (incarnation, owed) = (connection.incarnation, Arc::default());
            let marks = Vec::new();
            line.inbox.put(Item::Minted(Minted { incarnation, at, before, is_row: true, owed, marks }));
            feed.outbox.rcu(|outbox| with(outbox, |outbox| outbox.deleted(&key)));
        }
        sent.map(drop).or_else(unless_broken)?;
    }
    Ok(())
}

async fn settle_due(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    let now_ns = boot_ns();
    for Announced { mark, end_ns, .. } in feed.due_marks(now_ns) {
        let incarnation = row::incarnation_text(connection.incarnation);
        let deadline = if end_ns <= now_ns { 0 } else { mark.deadline_us }.to_string();
        let mut rows: Vec<Vec<u8>> = mark.tags.iter().map(row::tag_row).collect();
        rows.push(row::settled_row(mark.id));
        let mut arguments: Vec<&[u8]> = vec![incarnation.as_bytes(), &mark.row, deadline.as_bytes()];
        arguments.extend(rows.iter().map(Vec::as_slice));
        let names = feed.names();
        let keys = [names.table.as_str(), names.bell.as_str(), names.history.as_str()];
        let sent = answered(feed, connection.run(&DUE, &keys, &arguments)).await;
        match sent.as_deref() {
            Ok([Value::BulkString(what), Value::BulkString(left)]) if what == b"early" => {
                let left_us = row::position(left).map_or(0, Timestamp::as_micros);
                feed.put_off(mark.id, boot_ns().saturating_add(left_us.saturating_mul(1_000)).min(end_ns));
            }
            // With its table. It is announced again in the next one, and stands until then.
            Ok([Value::BulkString(what)]) if what == b"lost" => line.inbox.put_doubt(),
            // Settled now, or by somebody else: the rows that say so are told, or will be asked for.
            Ok(_) => {
                feed.put_off(mark.id, boot_ns().saturating_add(1_000_000_000));
                line.inbox.put(Item::Gone(mark.id, boot_ns()));
                line.inbox.put_doubt();
            }
            Err(_) => {}
        }
        sent.map(drop).or_else(unless_broken)?;
    }
    Ok(())
}

/// An error that the server answered with ends no connection.
fn unless_broken(error: ServerError) -> Result<(), ServerError> {
    match error {
        ServerError::Failed { .. } | ServerError::Refused { .. } => Ok(()),
        broken => Err(broken),
    }
}

/// What a script that mints a position answers.
pub(super) enum Reply {
    Done(Timestamp, Timestamp),
    Lost,
    Other,
}

impl Reply {
    pub(super) fn read(values: &[Value]) -> Self {
        match values {
            [Value::BulkString(what), ..] if what == b"lost" => Self::Lost,
            [Value::BulkString(what), Value::BulkString(at), Value::BulkString(before), ..]
                if what == b"done" =>
            {
                match (row::position(at), row::position(before)) {
                    (Some(at), Some(before)) => Self::Done(at, before),
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}
