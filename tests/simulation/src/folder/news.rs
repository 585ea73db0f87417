//! What a process learns of the log when it catches up.

use std::collections::{BTreeMap, HashSet};

use zoocache::engine::Engine;
use zoocache::{Error, MarkId};
use zoocache_core::mutant::is_on;
use zoocache_core::{DomainId, LogRow};

use super::Handle;
use super::tables::{Mark, Replaced};

/// What a process has read of the log.
#[derive(Default)]
pub(super) struct State {
    pub(super) applied_us: u64,
    pub(super) marks_changes: u64,
    /// The engine's names of the marks in the table.
    pub(super) marks: BTreeMap<u64, MarkId>,
    /// Rows about keys that this process wrote and has not read yet.
    pub(super) own_rows: HashSet<u64>,
    /// Marks of what was owed, is written, and has not been read yet.
    pub(super) paid: Vec<MarkId>,
    pub(super) behind: u32,
    pub(super) has_read: bool,
}

/// What one snapshot says.
pub(super) struct News {
    pub(super) number: u64,
    pub(super) domain: DomainId,
    pub(super) clock_us: u64,
    pub(super) floor_us: u64,
    pub(super) marks_changes: u64,
    pub(super) rows: Vec<LogRow>,
    pub(super) keys: Vec<Replaced>,
    /// All marks, if they changed.
    pub(super) marks: Option<BTreeMap<u64, Mark>>,
}

/// What one snapshot says that is new to `state`.
pub(super) fn read_news(handle: &Handle, engine: &dyn Engine, state: &State) -> Result<News, Error> {
    let own = engine.domain();
    let early = if is_on("floor_before_row") { Some(handle.tags().read()?) } else { None };
    let tags = handle.tags().read()?;
    let domain = tags.domain.unwrap_or(own);
    let after_us = if domain == own { state.applied_us } else { 0 };
    let (mut rows, mut keys) = tags.rows_after(after_us);
    if is_on("trust_empty") && !state.has_read {
        rows.clear();
        keys.clear();
    }
    Ok(News {
        number: tags.number,
        domain,
        clock_us: tags.clock_us,
        floor_us: early.map_or(tags.floor_us, |early| early.floor_us),
        marks_changes: tags.marks_changes,
        rows,
        keys,
        marks: (tags.marks_changes != state.marks_changes).then(|| tags.marks.clone()),
    })
}
