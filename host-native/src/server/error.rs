//! Why the server could not be asked. No text shows a user's name or password.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::address::Address;

/// Why a Redis server could not be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address is none.
    #[error("{parameter} is not the address of a Redis server: {cause}; write redis://HOST:PORT/DATABASE")]
    Address {
        /// Which setting.
        parameter: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// It refuses this client.
    #[error("Redis at {server} refuses this client: {cause}; check the user, the password and the rights")]
    Refused {
        /// Where.
        server: String,
        /// What it said.
        cause: String,
    },
    /// There is no connection now.
    #[error("Redis at {server} cannot be reached: {cause}; it is tried again in the background")]
    Away {
        /// Where.
        server: String,
        /// Why the last connection ended, or the last attempt failed.
        cause: String,
    },
    /// It did not answer in time.
    #[error("Redis at {server} did not answer within {millis} ms")]
    Timeout {
        /// Where.
        server: String,
        /// For how long it was waited.
        millis: u128,
    },
    /// It answered with an error.
    #[error("Redis at {server}: {cause}")]
    Failed {
        /// Where.
        server: String,
        /// What it said.
        cause: String,
    },
    /// The caller must not wait for the server: see [`trips`](crate::trips).
    #[error("the server was not asked, as its caller must not wait for it")]
    NotAsked,
    /// The invalidation is in effect here and could not be told to the others yet.
    #[error(
        "the invalidation holds in this process; it reaches the others as soon as Redis does again: {cause}"
    )]
    Queued {
        /// Why.
        cause: Box<ServerError>,
    },
}

impl ServerError {
    /// What the client library says, without what it may quote.
    pub(super) fn of(address: &Address, error: &RedisError) -> Self {
        let server = address.shown().to_owned();
        let said = |error: &RedisError| address.redact(&said(error));
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Self::Refused { server, cause: said(error) }
            }
            ErrorKind::Io | ErrorKind::Server(ServerErrorKind::MasterDown) => {
                Self::Away { server, cause: said(error) }
            }
            // Another server has what this one had, or is to take what is written: it is looked for anew.
            ErrorKind::Server(
                ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::ReadOnly,
            ) => Self::Away { server, cause: said(error) },
            _ if error.code().is_some_and(|code| matches!(code, "NOAUTH" | "WRONGPASS")) => {
                Self::Refused { server, cause: said(error) }
            }
            _ => Self::Failed { server, cause: said(error) },
        }
    }
}

/// An error's text, bounded; servers and libraries quote what they were sent, but never more than a line.
fn said(error: &RedisError) -> String {
    error.to_string().chars().take(300).collect()
}
