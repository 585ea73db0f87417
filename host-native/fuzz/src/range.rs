//! Replies to a look at the table: it is complete only if its one clock, of the right incarnation, stands last.

use zoocache::fuzzing::{Value, look};
use zoocache_core_fuzz::allocations::within;

const INCARNATION: u128 = 0xbee;
const LIMIT: usize = 4;
const MOST_FOR_EACH_BYTE: usize = 512;
const MOST_AT_LEAST: usize = 4_096;

/// The look shows what the rows say, one by one.
pub fn check(bytes: &[u8]) {
    let pairs = pairs(bytes);
    let reply = Value::Array(pairs.iter().map(|pair| pair.value.clone()).collect());
    let most = MOST_AT_LEAST + MOST_FOR_EACH_BYTE * bytes.len();
    let looked = within(most, || look(&reply, INCARNATION, LIMIT));
    let positions: Option<Vec<u64>> = pairs.iter().map(|pair| pair.at).collect();
    let is_table = positions.is_some();
    let positions = positions.unwrap_or_default();
    assert_eq!(looked.rows, positions.len());
    let clocks: Vec<_> = pairs.iter().filter(|pair| is_table && pair.clock.is_some()).collect();
    let last = positions.iter().max().copied();
    let expected = match clocks[..] {
        [clock] if clock.at == last && clock.clock == Some(INCARNATION) => last,
        _ => None,
    };
    assert_eq!(looked.clock, expected);
    let is_cut_off = is_table && clocks.is_empty() && positions.len() >= LIMIT;
    assert_eq!(looked.is_cut_off, is_cut_off);
    assert_eq!(look(&Value::Nil, INCARNATION, LIMIT).clock, None);
}

/// A row and its position in a reply.
struct Pair {
    value: Value,
    /// `None` if it is no position, or nothing that a table holds.
    at: Option<u64>,
    clock: Option<u128>,
}

/// Each begins with what it is; most are short.
fn pairs(mut bytes: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    while let [kind, position, rest @ ..] = bytes {
        let at = u64::from(*position);
        let whole = f64::from(*position);
        let (length, score, at) = match kind >> 5 {
            0..=3 => (4, whole, Some(at)),
            // Between two positions.
            4 => (0, whole + 0.5, Some(at + 1)),
            5 => (0, -whole - 1.0, None),
            6 => {
                let score = f64::from_bits(u64::from_le_bytes(std::array::from_fn(|place| {
                    rest.get(place).copied().unwrap_or_default()
                })));
                let is_position = (0.0..9e15).contains(&score);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, below 2^53"
                )]
                (8, score, is_position.then(|| score.ceil() as u64))
            }
            _ => {
                pairs.push(Pair { value: Value::Int(i64::from(*position)), at: None, clock: None });
                bytes = rest;
                continue;
            }
        };
        let (content, others) = rest.split_at(length.min(rest.len()));
        bytes = others;
        let clock = [None, None, Some(INCARNATION), Some(7)][usize::from(kind % 4)];
        let row = match clock {
            Some(of) => format!("~c:{of:032x}:{position}").into_bytes(),
            None => [b"k", content].concat(),
        };
        let value = Value::Array(vec![Value::BulkString(row), Value::Double(score)]);
        pairs.push(Pair { value, at, clock });
    }
    pairs
}
