//! One look at the table: everything that changed from a position on, and the proof that nothing is missing.

use redis::{Cmd, Value, cmd};
use zoocache_core::Timestamp;

use super::mutant;
use super::row::{Row, read_range};

/// Rows that one reply holds at most.
pub(super) const PAGE: usize = 1_000;

/// What a look at the table showed.
#[derive(Debug)]
pub(super) struct Range {
    /// The incarnation that was expected.
    pub(super) incarnation: u128,
    /// From which position on.
    pub(super) from: Timestamp,
    /// When it was asked for, by the clock of `boot_ns`.
    pub(super) asked_ns: u64,
    pub(super) rows: Vec<(Row, Timestamp)>,
    /// `None` if the table is not that of the incarnation, or not any more: it was lost.
    pub(super) clock: Option<Timestamp>,
    /// The position of the latest row, if there is a clock.
    pub(super) latest: Timestamp,
    /// There is more to be read.
    pub(super) is_cut_off: bool,
}

/// Asks for everything from a position on.
pub(super) fn ask(table: &str, from: Timestamp, limit: usize) -> Cmd {
    let mut ask = cmd("ZRANGEBYSCORE");
    ask.arg(table).arg(from.as_micros()).arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
    ask
}

impl Range {
    /// Reads a reply to [`ask`]. What is no table has lost its clock.
    pub(super) fn read(
        reply: &Value,
        (incarnation, from): (u128, Timestamp),
        limit: usize,
        asked_ns: u64,
    ) -> Self {
        let rows = read_range(reply);
        let is_table = rows.is_some();
        let rows = rows.unwrap_or_default();
        let clocks: Vec<_> = rows.iter().filter(|(row, _)| matches!(row, Row::Clock(..))).collect();
        let last = rows.iter().map(|(_, at)| *at).max();
        // Nothing lies behind the clock, and there is one clock.
        let (clock, latest) = match clocks[..] {
            [(Row::Clock(of, latest), at)] if *of == incarnation && last == Some(*at) => (Some(*at), *latest),
            _ => (None, Timestamp::ZERO),
        };
        let is_cut_off = is_table && clocks.is_empty() && rows.len() >= limit;
        let mut range = Self { incarnation, from, asked_ns, rows, clock, latest, is_cut_off };
        if mutant::is_on("ignore_lost") && range.clock.is_none() && !range.is_cut_off {
            (range.clock, range.latest) = (Some(from), from);
        }
        range
    }
}
