//! What this node is called, for people who look at the server: in its history, and among its clients.
//!
//! Nothing depends on it. A client's name also says up to which position the node has been told, so that others see
//! how far behind it is without a write to the server.

use std::sync::LazyLock;

use zoocache_core::Timestamp;

use super::names::Names;

/// Long names fill the lists of clients.
const MOST_BYTES: usize = 100;

/// The name of a node.
pub(super) struct Calling(Option<String>);

static HOST: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "host".to_owned() } else { name.to_owned() }
});

impl Calling {
    pub(super) fn new(name: Option<String>) -> Self {
        // Now, and not on another thread while the process may fork.
        LazyLock::force(&HOST);
        Self(name)
    }

    /// The name; machine and process unless the user gave another.
    pub(super) fn node(&self) -> String {
        // Asked each time: a forked child is another process.
        self.0.clone().unwrap_or_else(|| format!("{}:{}", *HOST, std::process::id()))
    }

    /// The name of a client that has been told everything up to a position.
    pub(super) fn client(&self, names: &Names, told: Timestamp) -> String {
        format!("zoocache/{}/{}/{}", plain(&names.table), plain(&self.node()), told.as_micros())
    }
}

/// What a server takes as a part of a client's name.
fn plain(text: &str) -> String {
    let shown = text
        .chars()
        .map(|character| if character.is_ascii_graphic() && character != '/' { character } else { '_' });
    shown.take(MOST_BYTES).collect()
}
