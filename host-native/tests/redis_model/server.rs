//! The server: its table, one entry, and the scripts, each of which is one step.

use super::Protocol;

/// What is invalidated. The entry depends on the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Tag {
    Ours,
    Other,
}

/// Incarnations are numbered; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entry {
    pub(crate) number: u8,
    pub(crate) incarnation: u8,
    pub(crate) as_of: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Table {
    pub(crate) incarnation: u8,
    /// The process that wrote it.
    pub(crate) bound: u8,
    pub(crate) clock: u8,
    pub(crate) floor: u8,
    /// The positions of the two tags' rows; 0 for none.
    pub(crate) rows: [u8; 2],
}

/// What is lost with a failover, or a restart with old data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Data {
    pub(crate) table: Table,
    pub(crate) entry: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Server {
    pub(crate) data: Data,
    pub(crate) process: u8,
    /// Positions are above what its time has been; that of another machine may be behind.
    pub(crate) time: u8,
    pub(crate) incarnations: u8,
}

/// A position that was given, and that of the row before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Minted {
    pub(crate) incarnation: u8,
    pub(crate) tag: Tag,
    pub(crate) at: u8,
    pub(crate) before: u8,
}

/// A look at the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Range {
    /// Expected.
    pub(crate) incarnation: u8,
    pub(crate) from: u8,
    /// None if the table is not that of the incarnation, or has gone back.
    pub(crate) clock: Option<u8>,
    pub(crate) floor: u8,
    /// Of the tags, if they lie in the range.
    pub(crate) rows: [u8; 2],
}

/// What a client has seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) applied: u8,
    pub(crate) given_up: Option<u8>,
}

impl Server {
    fn mint(&mut self) -> u8 {
        self.time = self.time.max(self.data.table.clock) + 1;
        self.data.table.clock = self.time;
        self.time
    }

    fn is_domain(&self, incarnation: u8, protocol: Protocol) -> bool {
        let table = self.data.table;
        let is_bound = table.bound == self.process || protocol == Protocol::BindingIgnored;
        table.incarnation != 0 && table.incarnation == incarnation && is_bound
    }

    pub(crate) fn hello(&mut self, seen: Seen, protocol: Protocol) -> u8 {
        let table = self.data.table;
        let is_behind = table.clock < seen.applied && protocol != Protocol::RegressionIgnored;
        let is_whole = self.is_domain(table.incarnation, protocol);
        if is_whole && !is_behind && Some(table.incarnation) != seen.given_up {
            return table.incarnation;
        }
        self.incarnations += 1;
        self.time = self.time.max(table.clock).max(seen.applied) + 1;
        let (incarnation, bound) = (self.incarnations, self.process);
        self.data.table = Table { incarnation, bound, clock: self.time, floor: self.time, rows: [0, 0] };
        incarnation
    }

    pub(crate) fn invalidate(&mut self, incarnation: u8, tag: Tag, protocol: Protocol) -> Option<Minted> {
        if !self.is_domain(incarnation, protocol) {
            return None;
        }
        let before = self.data.table.clock;
        let at = self.mint();
        self.data.table.rows[tag as usize] = at;
        Some(Minted { incarnation, tag, at, before })
    }

    pub(crate) fn put(&mut self, incarnation: u8, entry: Entry, protocol: Protocol) -> bool {
        let Table { floor, rows, .. } = self.data.table;
        let is_fresh = floor <= entry.as_of && rows[0] <= entry.as_of;
        let stores =
            self.is_domain(incarnation, protocol) && (is_fresh || protocol == Protocol::PutUnchecked);
        if stores {
            self.data.entry = Some(entry);
        }
        stores
    }

    /// No script: it does not ask which process wrote the table.
    pub(crate) fn range(&self, incarnation: u8, from: u8, protocol: Protocol) -> Range {
        let Table { clock, floor, rows, .. } = self.data.table;
        let is_there = self.data.table.incarnation == incarnation && clock >= from;
        let ignored = (protocol == Protocol::RegressionIgnored).then_some(from);
        let seen = |at: u8| if is_there && at >= from { at } else { 0 };
        let clock = if is_there { Some(clock) } else { ignored };
        Range { incarnation, from, clock, floor: seen(floor), rows: rows.map(seen) }
    }
}
