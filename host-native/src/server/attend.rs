//! What is done in the background while there is a connection: asking what has changed, replaying invalidations that
//! could not be sent, settling announced changes that are overdue.
//!
//! It puts what it learns into the inbox, and takes no lock that a fork could leave locked beside the line's.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Value;
use tokio::time::timeout;
use zoocache_core::Timestamp;

use super::error::ServerError;
use super::inbox::{Item, Minted};
use super::line::{ANSWER, Connection, Line, hello};
use super::range::{PAGE, Range, ask};
use super::row;
use super::script::{DUE, INVALIDATE};
use super::{Consistency, Feed, mutant};
use crate::clock::boot_ns;

/// How often overdue marks are looked for, and the server is asked where no reader wants to be near it.
const IDLE: Duration = Duration::from_secs(1);

/// Returns when the connection is lost, or nobody needs it any more.
pub(super) async fn attend(feed: &Weak<Feed>, line: &Arc<Line>) {
    let mut polls = !mutant::is_on("trust_connection");
    loop {
        let Some(alive) = feed.upgrade() else { return };
        let Some(connection) = line.present() else { return };
        let pause = pause_of(&alive);
        if let Err(cause) = duties(&alive, line, &connection, polls).await {
            line.break_off(connection.number(), cause);
            return;
        }
        drop((alive, connection));
        polls = true;
        // Woken, or the pause is over: both mean to look again.
        let _ = timeout(pause, line.wake.notified()).await;
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
    replay(feed, line, connection).await?;
    settle_due(feed, line, connection).await?;
    if polls && matches!(feed.consistency(), Consistency::Bounded(_)) && !line.inbox.has_range() {
        poll(feed, line, connection).await?;
    }
    Ok(())
}

async fn answered<T>(
    feed: &Feed,
    reply: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, ServerError> {
    match timeout(ANSWER, reply).await {
        Ok(reply) => reply.map_err(|error| ServerError::of(feed.address().shown(), &error)),
        Err(_) => Err(feed.timed_out()),
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
    line.inbox.put(Item::Range(Range::read(&reply, (connection.incarnation, from), PAGE, asked_ns)));
    Ok(())
}

/// Sends what could not be sent.
async fn replay(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    let Some(owed) = feed.take_owed() else { return Ok(()) };
    let arguments = owed.arguments(connection.incarnation);
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let names = feed.names();
    let sent = answered(feed, connection.run(&INVALIDATE, &[&names.table, &names.bell], &arguments)).await;
    match sent.as_deref().map(Reply::read) {
        Ok(Reply::Done(at, before)) => {
            let incarnation = connection.incarnation;
            line.inbox.put(Item::Minted(Minted {
                incarnation,
                at,
                before,
                is_row: true,
                settled: owed.settled(),
                marks: owed.marks,
            }));
        }
        Ok(Reply::Lost) => {
            feed.owe_again(owed);
            let incarnation = answered(feed, hello(feed, connection)).await?;
            line.enter(connection, incarnation);
            line.inbox.put_doubt();
            line.wake.notify_one();
        }
        _ => feed.owe_again(owed),
    }
    sent.map(drop).or_else(unless_broken)
}

async fn settle_due(feed: &Feed, line: &Line, connection: &Connection) -> Result<(), ServerError> {
    for mark in feed.due_marks(boot_ns()) {
        let incarnation = format!("{:032x}", connection.incarnation);
        let deadline = mark.deadline_us.to_string();
        let mut rows: Vec<Vec<u8>> = mark.tags.iter().map(row::tag_row).collect();
        rows.push(row::settled_row(mark.id));
        let mut arguments: Vec<&[u8]> = vec![incarnation.as_bytes(), &mark.row, deadline.as_bytes()];
        arguments.extend(rows.iter().map(Vec::as_slice));
        let names = feed.names();
        let sent = answered(feed, connection.run(&DUE, &[&names.table, &names.bell], &arguments)).await;
        match sent.as_deref() {
            Ok([Value::BulkString(what), Value::BulkString(left)]) if what == b"early" => {
                let left_us = row::position(left).map_or(0, Timestamp::as_micros);
                feed.put_off(mark.id, boot_ns().saturating_add(left_us.saturating_mul(1_000)));
            }
            // With its table. It is announced again in the next one, and stands until then.
            Ok([Value::BulkString(what)]) if what == b"lost" => line.inbox.put_doubt(),
            // Settled now, or by somebody else: the rows that say so are told, or will be asked for.
            Ok(_) => {
                feed.put_off(mark.id, boot_ns().saturating_add(1_000_000_000));
                line.inbox.put(Item::Gone(mark.id));
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
