//! The names of everything an application has on the server.
//!
//! ```text
//! {PREFIX}:V        the table of the domain: one sorted set of rows by position
//! {PREFIX}:bell     the channel on which changes of the table are told
//! {PREFIX}:history  a stream that tells people who invalidated what; nothing else depends on it
//! {PREFIX}:sweeper  who looks for dead entries now
//! PREFIX:e:{HASH}   an entry; PREFIX:l:{HASH} the lock of its key
//! ```
//! The braces are a cluster's hash tags: all of the first kind lie in one slot, and entries are spread. In a cluster the
//! latter are {PREFIX}:e:HASH and {PREFIX}:l:HASH, as scripts look at the table and at an entry in one step.

/// The names of one application.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(super) table: String,
    pub(super) bell: String,
    pub(super) history: String,
    pub(crate) sweeper: String,
    /// What stands before and after a hash.
    entries: [String; 2],
    locks: [String; 2],
}

impl Names {
    pub(crate) fn new(prefix: &str, is_cluster: bool) -> Self {
        let prefix = escape(prefix);
        let around = |kind: &str| {
            if is_cluster {
                [format!("{{{prefix}}}:{kind}:"), String::new()]
            } else {
                [format!("{prefix}:{kind}:{{"), "}".to_owned()]
            }
        };
        Self {
            entries: around("e"),
            locks: around("l"),
            table: format!("{{{prefix}}}:V"),
            bell: format!("{{{prefix}}}:bell"),
            history: format!("{{{prefix}}}:history"),
            sweeper: format!("{{{prefix}}}:sweeper"),
        }
    }

    pub(crate) fn entry(&self, key: &[u8]) -> String {
        name(&self.entries, &hash(key))
    }

    pub(crate) fn lock(&self, key: &[u8]) -> String {
        name(&self.locks, &hash(key))
    }

    /// What all entries match, and nothing else.
    pub(crate) fn all_entries(&self) -> String {
        name(&self.entries, "*")
    }
}

fn name([before, after]: &[String; 2], hash: &str) -> String {
    format!("{before}{hash}{after}")
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
