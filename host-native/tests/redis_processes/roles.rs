//! What nodes are like, and which of them run together.

use std::time::Duration;

use super::{MAX_STALENESS, NODES};

/// What a node is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Asks Redis at every read, and writes more than any other.
    Writer,
    /// Asks Redis at every read, computes behind the lock of the cluster, writes little.
    Strong,
    /// Asks Redis at every read, and holds nothing itself.
    Bare,
    /// A near cache that also writes.
    Bounded,
    /// A near cache that only reads, mostly what is rarely invalidated.
    Near,
    /// Keeps its entries to itself, and shares invalidations.
    Bus,
}

/// How often a node does something, in 10 000 steps; what is left are reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) invalidate: u32,
    pub(crate) change: u32,
    pub(crate) put: u32,
    pub(crate) delete: u32,
}

const ROLES: [Role; 6] = [Role::Writer, Role::Strong, Role::Bare, Role::Bounded, Role::Near, Role::Bus];

impl Role {
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn named(name: &str) -> Self {
        ROLES.into_iter().find(|role| role.name() == name).expect("the name of a role")
    }

    /// By how much an answer may be out of date.
    pub(crate) fn may_lag(self) -> Duration {
        match self {
            Self::Writer | Self::Strong | Self::Bare => Duration::ZERO,
            Self::Bounded | Self::Near | Self::Bus => MAX_STALENESS,
        }
    }

    pub(crate) fn is_strong(self) -> bool {
        self.may_lag().is_zero()
    }

    /// Do its entries rest in Redis?
    pub(crate) fn shares_entries(self) -> bool {
        self != Self::Bus
    }

    /// In calm weather nodes write rarely: then most reads are served from memory, and what a node misses of the bus
    /// no read of Redis makes good by chance.
    pub(crate) fn rates(self, is_calm: bool) -> Rates {
        let (invalidate, change, put, delete) = match self {
            Self::Writer => (800, 80, 250, 100),
            Self::Strong => (20, 10, 50, 10),
            Self::Bare => (100, 0, 50, 10),
            Self::Bounded => (100, 20, 50, 20),
            Self::Near => (0, 0, 0, 0),
            Self::Bus => (60, 0, 0, 0),
        };
        let rarely = if is_calm { 15 } else { 1 };
        Rates {
            invalidate: invalidate / rarely,
            change: change / rarely,
            put: put / rarely,
            delete: delete / rarely,
        }
    }

    /// How long it rests after a step: a machine of two cores runs six nodes, their proxies and a server.
    pub(crate) fn rest(self) -> Duration {
        Duration::from_micros(if self == Self::Near { 250 } else { 500 })
    }
}

/// The nodes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// One of each kind.
    All,
    /// Everybody writes; most ask Redis at every read.
    Heavy,
    /// Most only read their near caches, and one writes.
    Calm,
}

impl Mix {
    pub(crate) fn named(name: &str) -> Self {
        let all = [Self::All, Self::Heavy, Self::Calm];
        all.into_iter()
            .find(|mix| format!("{mix:?}") == name)
            .unwrap_or_else(|| panic!("no mix has the name {name:?}"))
    }

    pub(crate) fn roles(self) -> [Role; NODES] {
        use Role::{Bare, Bounded, Bus, Near, Strong, Writer};
        match self {
            Self::All => [Writer, Strong, Bounded, Near, Bus, Bounded],
            Self::Heavy => [Writer, Strong, Bounded, Bare, Writer, Bounded],
            Self::Calm => [Writer, Near, Near, Near, Bus, Bounded],
        }
    }
}

/// How far the wall clock of a node is off, in seconds: two of them are ten minutes apart.
pub(crate) fn skew_s(place: usize) -> i64 {
    [0, 0, 300, 0, 0, -300][place]
}
