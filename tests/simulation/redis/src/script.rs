//! The commands that load and run scripts.

use std::cell::RefCell;

use crate::command::Wrong;
use crate::lua::Lua;
use crate::number::read_integer;
use crate::reply::Reply;
use crate::store::Store;

/// Commands about scripts, which scripts may not run.
const NAMES: [&str; 3] = ["EVAL", "EVALSHA", "SCRIPT"];

fn name_of(words: &[Vec<u8>]) -> Option<&'static str> {
    let name = words.first()?;
    NAMES.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

pub(crate) fn is_about_scripts(words: &[Vec<u8>]) -> bool {
    name_of(words).is_some()
}

type Outcome = Result<Reply, String>;

impl Lua {
    /// Runs a command if it is about scripts.
    pub(crate) fn call(&mut self, store: &RefCell<Store>, words: &[Vec<u8>]) -> Option<Reply> {
        let name = name_of(words)?;
        let outcome = match name {
            "SCRIPT" => self.about(words),
            _ if words.len() < 3 => Err(Wrong::Words.for_client(words)),
            _ => self.eval(name == "EVAL", store, words),
        };
        Some(outcome.unwrap_or_else(Reply::Error))
    }

    fn eval(&mut self, is_text: bool, store: &RefCell<Store>, words: &[Vec<u8>]) -> Outcome {
        let count = read_integer(&words[2]).ok_or("ERR value is not an integer or out of range")?;
        let count = usize::try_from(count).map_err(|_| "ERR Number of keys can't be negative")?;
        let given = words[3..].split_at_checked(count);
        let (keys, arguments) = given.ok_or("ERR Number of keys can't be greater than number of args")?;
        let hash = if is_text { hash(&words[1])? } else { lower(&words[1]) };
        if is_text {
            self.load(&hash, &words[1])?;
        } else if !self.knows(&hash) {
            return Err("NOSCRIPT No matching script. Please use EVAL.".to_owned());
        }
        store.borrow_mut().has_written = false;
        Ok(self.run(&hash, keys, arguments))
    }

    fn about(&mut self, words: &[Vec<u8>]) -> Outcome {
        let what = words.get(1).map(|what| lower(what)).unwrap_or_default();
        match (&*what, &words[2.min(words.len())..]) {
            ("load", [text]) => {
                let hash = hash(text)?;
                self.load(&hash, text)?;
                Ok(Reply::Text(hash.into_bytes()))
            }
            ("exists", [_, ..]) => {
                let known = words[2..].iter().map(|hash| Reply::Int(self.knows(&lower(hash)).into()));
                Ok(Reply::List(known.collect()))
            }
            ("flush", [] | [_]) => {
                self.forget();
                Ok(Reply::ok())
            }
            ("", _) => Err("ERR wrong number of arguments for 'script' command".to_owned()),
            ("load" | "exists" | "flush", _) => {
                Err(format!("ERR wrong number of arguments for 'script|{what}' command"))
            }
            _ => Err(format!(
                "ERR unknown subcommand '{}'. Try SCRIPT HELP.",
                String::from_utf8_lossy(&words[1])
            )),
        }
    }
}

fn lower(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_lowercase()
}

/// SHA-1, which the library of the client computes.
fn hash(text: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|_| "ERR not simulated: a script that is no text")?;
    Ok(redis::Script::new(text).get_hash().to_owned())
}
