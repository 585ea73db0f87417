//! What nodes tell each other through a server: rows at a position, locks that are free again.

use zoocache::fuzzing::{rewrite_row, rewrite_told};
use zoocache_core_fuzz::allocations::within;

/// A row takes two bytes at least, and more than a hundred in memory; a list grows by doubling.
const MOST_FOR_EACH_BYTE: usize = 512;
const MOST_AT_LEAST: usize = 4_096;

/// What is read stays the same when it is written and read again; and rows that are told come as they were.
pub fn check(bytes: &[u8]) {
    let most = MOST_AT_LEAST + MOST_FOR_EACH_BYTE * bytes.len();
    if let Some(again) = within(most, || rewrite_told(bytes)) {
        assert_eq!(rewrite_told(&again).as_deref(), Some(&again[..]));
        assert_eq!(again[..2], bytes[..2], "it is of the same kind");
    }
    tell(bytes);
}

/// Tells the pieces of the input as rows.
fn tell(bytes: &[u8]) {
    let mut told = format!("i {:032x} 7 1000 2000 ", 0xbee).into_bytes();
    let mut expected = told.clone();
    for piece in bytes.split(|byte| *byte == b'\n') {
        put(&mut told, piece);
        put(&mut expected, &rewrite_row(piece).unwrap_or_else(|| b"!".to_vec()));
    }
    assert_eq!(rewrite_told(&told), Some(expected));
    // Too many to be told.
    let told = format!("i {:032x} 7 1000 2000 x", 0xbee).into_bytes();
    assert_eq!(rewrite_told(&told), Some(told));
}

fn put(told: &mut Vec<u8>, row: &[u8]) {
    told.extend_from_slice(format!("{}:", row.len()).as_bytes());
    told.extend_from_slice(row);
}
