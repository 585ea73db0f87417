//! The server of a simulation: connections are made, and commands answered, by the [`World`](super::World).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value};

use super::{block, deadline, is_over, world};

/// What a connection hears without having asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message on the channel it listens to.
    Message(Vec<u8>),
    /// The connection is closed.
    Closed,
}

/// Who is told what a connection hears.
pub type Ear = Box<dyn Fn(Heard)>;

/// Makes a connection that hears what is published.
pub(crate) fn connect(ear: Ear) -> RedisResult<u64> {
    world().map_or_else(|| Err(away()), |world| world.connect(ear))
}

/// Sends commands through a connection, and waits for the answers.
pub(crate) fn send(connection: u64, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    let commands: Vec<_> = pipeline.cmd_iter().map(words).collect();
    world().map_or_else(|| Err(away()), |world| world.call(connection, &commands))
}

/// Sends one command.
pub(crate) fn ask(connection: u64, command: &Cmd) -> RedisResult<Value> {
    let answers = world().map_or_else(|| Err(away()), |world| world.call(connection, &[words(command)]))?;
    answers.into_iter().next().ok_or_else(away)?.extract_error()
}

fn words(command: &Cmd) -> Vec<Vec<u8>> {
    let word = |word: redis::Arg<&[u8]>| match word {
        redis::Arg::Simple(bytes) => bytes.to_vec(),
        // The place of a cursor, which begins at 0.
        _ => b"0".to_vec(),
    };
    command.args_iter().map(word).collect()
}

fn away() -> RedisError {
    RedisError::from((ErrorKind::Io, "nobody answers"))
}

/// Begins another task of the same node, which ends when the future does.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    if let Some(world) = world() {
        world.spawn(Box::new(move || {
            run(future, None);
        }));
    }
}

/// What the future comes to; `None` when `timeout` has passed.
pub(crate) fn within<T>(timeout: Duration, future: impl Future<Output = T>) -> Option<T> {
    run(future, deadline(timeout))
}

/// Polls while there is something to be polled for: nobody wakes, whoever is blocked looks again.
fn run<T>(future: impl Future<Output = T>, until_ns: Option<u64>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        if is_over(until_ns) {
            return None;
        }
        block(until_ns);
    }
}
