//! What each command does. `words` are its name and what follows it; how many there are at least has been checked.

#![allow(clippy::unnecessary_wraps, reason = "all commands have one signature")]

pub(crate) mod keys;
pub(crate) mod sets;
pub(crate) mod texts;
pub(crate) mod whole;

use crate::number::read_integer;
use crate::reply::Reply;

pub(crate) type Outcome = Result<Reply, &'static str>;

const WRONG_KIND: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const NO_SYNTAX: &str = "ERR syntax error";
/// Redis knows it, and this server does not.
const NOT_SIMULATED: &str = "ERR not simulated";

fn integer(word: &[u8]) -> Result<i64, &'static str> {
    read_integer(word).ok_or(NO_INTEGER)
}

fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}
