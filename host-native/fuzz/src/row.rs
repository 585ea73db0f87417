//! Rows of the table on a server: whatever cannot be read counts as an invalidation of everything.

use zoocache::fuzzing::rewrite_row;
use zoocache_core_fuzz::allocations::within;

/// A tag of a mark takes two bytes at least, and 32 in memory; a list grows by doubling.
const MOST_FOR_EACH_BYTE: usize = 128;
const MOST_AT_LEAST: usize = 4_096;
/// The row that invalidates everything.
const EVERYTHING: &[u8] = b"t";

/// What is read is written with the same bytes, or counts for everything.
pub fn check(bytes: &[u8]) {
    let most = MOST_AT_LEAST + MOST_FOR_EACH_BYTE * bytes.len();
    let Some(again) = within(most, || rewrite_row(bytes)) else {
        return assert!(matches!(bytes, [b'~' | b'!', ..]), "only these say nothing");
    };
    assert_eq!(rewrite_row(&again).as_deref(), Some(&again[..]), "that is how it stays");
    // In these, numbers may begin with zeros.
    let may_differ = matches!(bytes, [b'm' | b'~', ..]) && bytes.first() == again.first();
    assert!(again == bytes || again == EVERYTHING || may_differ, "b\"{}\"", again.escape_ascii());
}
