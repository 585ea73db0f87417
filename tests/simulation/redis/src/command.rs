//! Which commands there are, and what the server needs to know of each before it runs.

use crate::commands::{Outcome, keys, sets, texts, whole};
use crate::store::Store;

pub(crate) struct Command {
    name: &'static str,
    /// How many words, its name included; a negative number is the least.
    words: i32,
    pub(crate) effect: Effect,
    pub(crate) run: fn(&mut Store, &[Vec<u8>]) -> Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
    /// Writes what may need more memory.
    Grows,
}

use Effect::{Grows, Reads, Writes};

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    Command { name: "get",           words: 2,  effect: Reads,  run: texts::get },
    Command { name: "zscore",        words: 3,  effect: Reads,  run: sets::zscore },
    Command { name: "zrange",        words: -4, effect: Reads,  run: sets::zrange },
    Command { name: "zrangebyscore", words: -4, effect: Reads,  run: sets::zrangebyscore },
    Command { name: "zadd",          words: -4, effect: Grows,  run: sets::zadd },
    Command { name: "zrem",          words: -3, effect: Writes, run: sets::zrem },
    Command { name: "zmscore",       words: -3, effect: Reads,  run: sets::zmscore },
    Command { name: "zcard",         words: 2,  effect: Reads,  run: sets::zcard },
    Command { name: "time",          words: 1,  effect: Reads,  run: whole::time },
    Command { name: "info",          words: -1, effect: Reads,  run: whole::info },
    Command { name: "publish",       words: 3,  effect: Reads,  run: whole::publish },
    Command { name: "set",           words: -3, effect: Grows,  run: texts::set },
    Command { name: "getrange",      words: 4,  effect: Reads,  run: texts::getrange },
    Command { name: "type",          words: 2,  effect: Reads,  run: keys::kind },
    Command { name: "exists",        words: -2, effect: Reads,  run: keys::exists },
    Command { name: "unlink",        words: -2, effect: Writes, run: keys::del },
    Command { name: "del",           words: -2, effect: Writes, run: keys::del },
    Command { name: "pttl",          words: 2,  effect: Reads,  run: keys::pttl },
    Command { name: "pexpire",       words: -3, effect: Writes, run: keys::pexpire },
    Command { name: "scan",          words: -2, effect: Reads,  run: keys::scan },
    Command { name: "keys",          words: 2,  effect: Reads,  run: keys::keys },
    Command { name: "dbsize",        words: 1,  effect: Reads,  run: whole::dbsize },
    Command { name: "flushall",      words: -1, effect: Writes, run: whole::flushall },
    Command { name: "ping",          words: -1, effect: Reads,  run: whole::ping },
];

/// How much of what was sent errors quote.
const SHOWN: usize = 128;

/// The beginning of a word, as C has it.
pub(crate) fn shown(word: &[u8], most: usize) -> String {
    let end = word.iter().take(most).position(|byte| *byte == 0).unwrap_or(most.min(word.len()));
    String::from_utf8_lossy(&word[..end]).into_owned()
}

/// Why a command cannot be run at all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wrong {
    Unknown,
    Words,
}

impl Command {
    pub(crate) fn of(words: &[Vec<u8>]) -> Result<&'static Self, Wrong> {
        let name = words.first().ok_or(Wrong::Unknown)?;
        let is_it = |command: &&Self| command.name.as_bytes().eq_ignore_ascii_case(name);
        let command = COMMANDS.iter().find(is_it).ok_or(Wrong::Unknown)?;
        let given = i32::try_from(words.len()).unwrap_or(i32::MAX);
        let fits = if command.words < 0 { given >= -command.words } else { given == command.words };
        if fits { Ok(command) } else { Err(Wrong::Words) }
    }
}

impl Wrong {
    pub(crate) fn for_client(self, words: &[Vec<u8>]) -> String {
        let name = words.first().map(|name| shown(name, SHOWN)).unwrap_or_default();
        match self {
            Self::Words => format!("ERR wrong number of arguments for '{}' command", name.to_lowercase()),
            Self::Unknown => {
                let mut arguments = String::new();
                for word in words.iter().skip(1) {
                    if arguments.len() < SHOWN {
                        arguments = format!("{arguments}'{}' ", shown(word, SHOWN - arguments.len()));
                    }
                }
                format!("ERR unknown command '{name}', with args beginning with: {arguments}")
            }
        }
    }

    pub(crate) fn for_script(self) -> &'static str {
        match self {
            Self::Words => "ERR Wrong number of args calling Redis command from script",
            Self::Unknown => "ERR Unknown Redis command called from script",
        }
    }
}
