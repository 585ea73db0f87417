//! What commands work on, and whether the server lets them.

use crate::command::{Command, Effect};
use crate::keyspace::{Data, milliseconds};
use crate::reply::Reply;
use crate::script::is_about_scripts;

pub(crate) struct Store {
    pub(crate) data: Data,
    pub(crate) now_us: u64,
    pub(crate) replid: String,
    pub(crate) published: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) troubles: Troubles,
    /// Has the script that runs now written? Then it may go on, whatever it writes.
    pub(crate) has_written: bool,
}

/// Why the server refuses to write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Troubles {
    pub(crate) is_read_only: bool,
    pub(crate) lacks_replicas: bool,
    pub(crate) is_full: bool,
}

impl Store {
    pub(crate) fn new(replid: &str) -> Self {
        Self {
            data: Data::default(),
            now_us: 0,
            replid: replid.to_owned(),
            published: Vec::new(),
            troubles: Troubles::default(),
            has_written: false,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        milliseconds(self.now_us)
    }

    /// Runs a command that a client sent.
    pub(crate) fn call(&mut self, words: &[Vec<u8>]) -> Reply {
        let command = match Command::of(words) {
            Ok(command) => command,
            Err(wrong) => return Reply::Error(wrong.for_client(words)),
        };
        if let Some(refusal) = self.refusal(command.effect) {
            return Reply::Error(refusal.to_owned());
        }
        self.run(command, words)
    }

    /// Runs a command of a script.
    pub(crate) fn call_in_script(&mut self, words: &[Vec<u8>]) -> Reply {
        if is_about_scripts(words) {
            return Reply::Error("ERR This Redis command is not allowed from script".to_owned());
        }
        let command = match Command::of(words) {
            Ok(command) => command,
            Err(wrong) => return Reply::Error(wrong.for_script().to_owned()),
        };
        if !self.has_written
            && let Some(refusal) = self.refusal(command.effect)
        {
            return Reply::Error(refusal.to_owned());
        }
        self.has_written |= command.effect != Effect::Reads;
        self.run(command, words)
    }

    fn run(&mut self, command: &Command, words: &[Vec<u8>]) -> Reply {
        (command.run)(self, words).unwrap_or_else(|error| Reply::Error(error.to_owned()))
    }

    fn refusal(&self, effect: Effect) -> Option<&'static str> {
        if self.troubles.is_full && effect == Effect::Grows {
            return Some("OOM command not allowed when used memory > 'maxmemory'.");
        }
        if effect == Effect::Reads {
            None
        } else if self.troubles.is_read_only {
            Some("READONLY You can't write against a read only replica.")
        } else if self.troubles.lacks_replicas {
            Some("NOREPLICAS Not enough good replicas to write.")
        } else {
            None
        }
    }
}
