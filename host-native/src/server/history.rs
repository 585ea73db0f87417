//! The stream in which scripts note who invalidated what.

use redis::{Cmd, Value, cmd};
use zoocache_core::{Tag, Timestamp};

use super::row::{pieces, position, read_tag};
use super::{Feed, ServerError};
use crate::sequencer::{Invalidated, Wanted};
use crate::timings::Trip;

/// Notes that one reply holds at most; the stream has not many more.
const MOST: usize = 10_000;

impl Feed {
    /// What the server still tells of past invalidations.
    pub(crate) fn history(&self, wanted: &Wanted) -> Result<Vec<Invalidated>, ServerError> {
        let connection = self.connection()?;
        let reply = self.wait(&connection, Trip::Read, connection.ask(&ask(&self.names.history, wanted)))?;
        let Value::Array(notes) = reply else { return Ok(Vec::new()) };
        // What cannot be read was noted by a later version.
        Ok(notes.iter().filter_map(read).collect())
    }
}

fn ask(history: &str, wanted: &Wanted) -> Cmd {
    let (from, to) = (wanted.from.as_micros(), wanted.to.as_micros());
    let mut ask = cmd(if wanted.newest_first { "XREVRANGE" } else { "XRANGE" });
    let bounds = if wanted.newest_first { [to, from] } else { [from, to] };
    ask.arg(history).arg(&bounds).arg("COUNT").arg(wanted.most.clamp(1, MOST));
    ask
}

fn read(note: &Value) -> Option<Invalidated> {
    let Value::Array(note) = note else { return None };
    let [Value::BulkString(id), Value::Array(fields)] = &note[..] else { return None };
    let at = position(id.split(|byte| *byte == b'-').next()?)?;
    let (mut by, mut tags) = (None, Vec::new());
    for pair in fields.chunks_exact(2) {
        match pair {
            [Value::BulkString(name), Value::BulkString(value)] if name == b"node" => {
                by = Some(String::from_utf8_lossy(value).into_owned());
            }
            [Value::BulkString(name), Value::BulkString(value)] if name == b"tags" => {
                tags = pieces(value)?.into_iter().map(read_tag).collect::<Option<Vec<Tag>>>()?;
            }
            _ => {}
        }
    }
    Some(Invalidated { at: Timestamp::checked(at.as_micros())?, tags, node: by })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(id: &str, fields: &[(&str, &str)]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    #[test]
    fn a_note_says_what_was_invalidated_when_and_by_whom() {
        let told = read(&note("1700000000000001-0", &[("node", "web:7"), ("tags", "3:a:b1:c")]));
        let told = told.expect("a note");
        assert_eq!(told.at.as_micros(), 1_700_000_000_000_001);
        assert_eq!(told.node.as_deref(), Some("web:7"));
        assert_eq!(told.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a:b", "c"]);
    }

    #[test]
    fn what_is_no_note_is_passed_over() {
        for (id, tags) in [("x-0", "1:a"), ("1-0", "9:a"), ("1-0", "1::"), ("", "1:a")] {
            assert_eq!(read(&note(id, &[("tags", tags)])), None, "{id} {tags}");
        }
        assert_eq!(read(&Value::Nil), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(id in ".{0,30}", tags in ".{0,50}") {
            let _ = read(&note(&id, &[("tags", &tags)]));
        }
    }
}
