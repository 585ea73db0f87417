//! Asking a server directly, for those who look whether it is fit to be used: what is wrong may be what keeps a cache from
//! being opened.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};

use super::error::ServerError;
use super::line::{ANSWER, CONNECT};
use super::{Address, Names, runtime};

/// Connecting may ask several sentinels or nodes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that is no node of the domain.
pub struct Probe {
    address: Address,
    names: Names,
    connection: MultiplexedConnection,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Nothing.
    Nil,
    /// A whole number.
    Int(i64),
    /// A number.
    Number(f64),
    /// A text, which need not be UTF-8.
    Text(Vec<u8>),
    /// Several answers; names and values of a map one after another.
    List(Vec<Answer>),
    /// The server refuses it.
    Refused(String),
}

impl Probe {
    /// Connects.
    ///
    /// # Errors
    /// When the address is none, or nobody answers there, or the server refuses this client.
    pub fn open(url: &str, prefix: &str) -> Result<Self, ServerError> {
        let address = Address::parse("url", url)?;
        let names = Names::new(prefix, address.is_cluster());
        let (asked, table) = (address.clone(), names.table.clone());
        let connecting = async move {
            let client = asked.client(&table).await?;
            let connecting = client.get_multiplexed_async_connection();
            connecting.await
        };
        let connection = match run(connecting, PATIENCE.max(CONNECT)) {
            Some(Ok(connection)) => connection,
            Some(Err(error)) => return Err(ServerError::of(&address, &error)),
            None => return Err(Self::silent(&address)),
        };
        Ok(Self { address, names, connection })
    }

    /// Sends a command, and waits two seconds for the answer.
    ///
    /// # Errors
    /// When the server does not answer. That it refuses the command is an answer.
    pub fn ask(&self, words: &[Vec<u8>]) -> Result<Answer, ServerError> {
        let Some((name, arguments)) = words.split_first() else { return Ok(Answer::Nil) };
        let mut command = cmd(&String::from_utf8_lossy(name));
        command.arg(arguments);
        let mut connection = self.connection.clone();
        let asking = async move { connection.send_packed_command(&command).await };
        match run(asking, ANSWER) {
            Some(Ok(value)) => Ok(answer(value)),
            Some(Err(error)) if error.code().is_some() => {
                Ok(Answer::Refused(self.address.redact(&error.to_string())))
            }
            Some(Err(error)) => Err(ServerError::of(&self.address, &error)),
            None => Err(Self::silent(&self.address)),
        }
    }

    /// The name of the table of the domain.
    pub fn table(&self) -> &str {
        &self.names.table
    }

    /// The name of the channel on which changes are told.
    pub fn bell(&self) -> &str {
        &self.names.bell
    }

    /// The name of the stream that says who invalidated what.
    pub fn history(&self) -> &str {
        &self.names.history
    }

    /// The name of the entry of a key.
    pub fn entry(&self, key: &[u8]) -> String {
        self.names.entry(key)
    }

    /// What all entries match, and nothing else.
    pub fn entries(&self) -> String {
        self.names.all_entries()
    }

    /// The address, without user and password.
    pub fn shown(&self) -> &str {
        self.address.shown()
    }

    fn silent(address: &Address) -> ServerError {
        ServerError::Away { server: address.shown().to_owned(), cause: "it does not answer".to_owned() }
    }
}

/// What a future comes to that runs where connections are; `None` if that takes too long.
fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static, time: Duration) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let sending = async move {
        // Who has waited long enough is gone.
        let _ = sender.send(future.await);
    };
    runtime::spawn(sending).ok()?;
    receiver.recv_timeout(time).ok()
}

fn answer(value: Value) -> Answer {
    match value {
        Value::Int(number) => Answer::Int(number),
        Value::Boolean(is_so) => Answer::Int(i64::from(is_so)),
        Value::Double(number) => Answer::Number(number),
        Value::BulkString(text) => Answer::Text(text),
        Value::Okay => Answer::Text(b"OK".to_vec()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Answer::Text(text.into_bytes()),
        Value::Array(values) | Value::Set(values) => Answer::List(values.into_iter().map(answer).collect()),
        Value::Map(pairs) => {
            Answer::List(pairs.into_iter().flat_map(|(name, value)| [answer(name), answer(value)]).collect())
        }
        Value::ServerError(error) => {
            Answer::Refused(format!("{} {}", error.code(), error.details().unwrap_or_default()))
        }
        _ => Answer::Nil,
    }
}
