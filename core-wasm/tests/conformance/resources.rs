//! What a vector calls besides the engine: its fills and entries, and the interfaces `tags` and `headers`.

use serde_json::{Value, json};
use zoocache_core::{Engine, Header, Sealed, Timestamp, Verdict};

use crate::engine::Shared;
use crate::values::{
    OK, Stop, bytes_in, bytes_out, fault, gives, header_error, header_in, header_out, number_in, ok,
    position_out, stale_out, tag_in, tag_out, text_in,
};

/// Something that a vector has a name for.
pub(crate) enum Resource {
    Engine(Shared),
    Fill(Fill),
    Entry(Entry),
}

/// A running fill; dropped, it is abandoned.
pub(crate) struct Fill {
    pub(crate) engine: Shared,
    /// Taken when it is sealed.
    pub(crate) begun: Option<zoocache_core::Fill>,
    pub(crate) as_of: Timestamp,
}

impl Drop for Fill {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.engine.borrow_mut().abandon(begun);
        }
    }
}

impl Fill {
    pub(crate) fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
        match (name, arguments) {
            ("as-of", []) => Ok(position_out(self.as_of)),
            _ => fault("a fill has no such function"),
        }
    }
}

pub(crate) struct Entry {
    pub(crate) engine: Shared,
    pub(crate) sealed: Sealed,
}

impl Entry {
    pub(crate) fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
        let engine = self.engine.borrow();
        match (name, arguments) {
            ("as-of", []) => Ok(position_out(self.sealed.as_of())),
            ("judge", []) => self.judge(&engine),
            ("header", [created, expires]) => {
                let (created, expires) = (number_in(created)?, number_in(expires)?);
                let header = engine.header(&self.sealed, created, expires);
                Ok(header.map_or(Value::Null, |header| bytes_out(&header.encode())))
            }
            _ => fault("an entry has no such function"),
        }
    }

    fn judge(&self, engine: &Engine) -> Result<Value, Stop> {
        let signals = engine.signals();
        let verdict = self.sealed.judge(signals);
        Ok(match verdict {
            Verdict::Fresh => json!("fresh"),
            Verdict::Unknown => json!("unknown"),
            Verdict::Foreign => json!("foreign"),
            Verdict::Stale => match self.sealed.blame(signals) {
                Some(cause) => stale_out(&cause, engine),
                None => return fault("stale without a cause"),
            },
            Verdict::Pending => match self.sealed.pending_tag(signals) {
                Some(tag) => json!({ "pending": tag_out(&tag) }),
                None => return fault("pending without a tag"),
            },
            other => return fault(format!("{other:?} in memory")),
        })
    }
}

/// A call of `tags` or of `headers`.
pub(crate) fn text(name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match (name, arguments) {
        ("check-tag", [text]) => match tag_in(text_in(text)?, 0) {
            Ok(_) => Ok(json!(OK)),
            Err(error) => gives(error),
        },
        ("encode-header", [header]) => Ok(ok(bytes_out(&header_in(header)?.encode()))),
        ("decode-header", [bytes]) => match Header::decode(&bytes_in(bytes)?) {
            Ok((header, length)) => Ok(ok(json!({ "header": header_out(&header), "length": length }))),
            Err(error) => gives(header_error(error)),
        },
        _ => fault("there is no such function"),
    }
}
