//! What can go wrong, for callers of the cache.
//!
//! One superset enum; modules that can fail in a way of their own define that failure beside it and are
//! carried here as `#[source]`. A computation's own error travels unchanged inside [`Error::Compute`].

use std::sync::Arc;

use zoocache_core::{ClockError, SettleError, TagError};

/// A computation's own error, shared by everyone who waited for that computation.
pub type Failure = Arc<dyn std::error::Error + Send + Sync>;

/// Everything a cache operation can fail with.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tag is not a valid path.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A setting of the builder makes no sense.
    #[error("{parameter} = {value}: {remedy}")]
    Config {
        /// The builder method.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        remedy: &'static str,
    },
    /// The computation failed; the leader and all waiters of its flight see the same error.
    #[error("{0}")]
    Compute(#[source] Failure),
    /// The computation of a key asked for the same key.
    #[error(
        "computing {key:?} asked for {key:?} again: a cached computation must not depend on its own result"
    )]
    Recursion {
        /// The key, lossily decoded.
        key: String,
    },
    /// The domain's clock has no position left (it would pass the year 2255).
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A change could not be settled.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The component cannot be used.
    #[cfg(feature = "component-host")]
    #[error(transparent)]
    Component(#[from] crate::component::ComponentError),
    /// The folder that processes share cannot be opened, read or written.
    #[cfg(feature = "lmdb")]
    #[error(transparent)]
    Folder(#[from] crate::FolderError),
    /// The server that machines share cannot be used.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Server(#[from] crate::ServerError),
}

impl Error {
    /// Was a server not asked because the caller must not wait? Then nothing is known to have failed.
    #[cfg(feature = "redis")]
    pub(crate) fn is_abstention(&self) -> bool {
        matches!(self, Self::Server(crate::ServerError::NotAsked))
    }

    /// Without servers nothing is.
    #[cfg(not(feature = "redis"))]
    #[expect(clippy::unused_self, reason = "the same question with every feature")]
    pub(crate) fn is_abstention(&self) -> bool {
        false
    }

    /// The computation's own error, if that is what this is.
    pub fn as_failure(&self) -> Option<&Failure> {
        match self {
            Self::Compute(failure) => Some(failure),
            _ => None,
        }
    }
}
