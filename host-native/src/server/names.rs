//! The names of everything an application has on the server.
//!
//! ```text
//! {PREFIX}:V        the table of the domain: one sorted set of rows by position
//! {PREFIX}:bell     the channel on which changes of the table are told
//! {PREFIX}:sweeper  who looks for dead entries now
//! PREFIX:e:{HASH}   an entry; PREFIX:l:{HASH} the lock of its key
//! ```
//! The braces are a cluster's hash tags: all of the first kind lie in one slot, and entries are spread.

/// The names of one application.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(super) table: String,
    pub(super) bell: String,
    pub(crate) sweeper: String,
    entries: String,
    locks: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        let prefix = escape(prefix);
        Self {
            table: format!("{{{prefix}}}:V"),
            bell: format!("{{{prefix}}}:bell"),
            sweeper: format!("{{{prefix}}}:sweeper"),
            entries: format!("{prefix}:e:"),
            locks: format!("{prefix}:l:"),
        }
    }

    pub(crate) fn entry(&self, key: &[u8]) -> String {
        format!("{}{{{}}}", self.entries, hash(key))
    }

    pub(crate) fn lock(&self, key: &[u8]) -> String {
        format!("{}{{{}}}", self.locks, hash(key))
    }

    /// What all entries match, and nothing else.
    pub(crate) fn all_entries(&self) -> String {
        format!("{}{{*}}", self.entries)
    }
}

/// Of 160 bits; whoever reads an entry compares the whole key.
fn hash(key: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(40);
    for byte in &blake3::hash(key).as_bytes()[..20] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Leaves nothing that means something in a pattern or a hash tag, and keeps different texts different.
fn escape(prefix: &str) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for character in prefix.chars() {
        if character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '/' | '@') {
            text.push(character);
        } else {
            let _ = write!(text, "%{:x};", u32::from(character));
        }
    }
    text
}
