//! The scripts that run on the server, each as one step: by their hash, and by their text where that is not known.

use std::sync::LazyLock;

/// A script, and the hash by which the server knows it.
pub(super) struct Script {
    pub(super) text: String,
    pub(super) hash: String,
}

use super::mutant;

macro_rules! scripts {
    ($($name:ident = $text:expr;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| script($text));)*

        /// Makes them. A fork while another thread makes one would leave a child that waits for it for ever.
        pub(super) fn prepare() {
            $(LazyLock::force(&$name);)*
        }
    };
}

macro_rules! with_beginning {
    ($file:literal) => {
        concat!(include_str!("scripts/begin.lua"), include_str!(concat!("scripts/", $file)))
    };
}

scripts! {
    HELLO = with_beginning!("hello.lua");
    INVALIDATE = with_beginning!("invalidate.lua");
    CHANGE = with_beginning!("change.lua");
    CHECK = with_beginning!("check.lua");
    DUE = with_beginning!("due.lua");
    PUT = with_beginning!("put.lua");
    DELETE = with_beginning!("delete.lua");
    TIDY = with_beginning!("tidy.lua");
    CLEAR = with_beginning!("clear.lua");
    UNLOCK = include_str!("scripts/unlock.lua");
    EXTEND = include_str!("scripts/extend.lua");
    REMOVE = include_str!("scripts/remove.lua");
}

/// Protections that the scripts have and that can be switched off.
const SWITCHES: [&str; 7] = [
    "ignore_binding",
    "no_rollback_check",
    "no_inc_check",
    "clock_back",
    "client_clock",
    "keep_incarnation",
    "put_over_deleted",
];

fn script(text: &str) -> Script {
    let mut text = text.to_owned();
    for name in SWITCHES {
        let switch = if mutant::is_on(name) { "true" } else { "false" };
        text = text.replace(&format!("MUTANT_{name}"), switch);
    }
    let hash = redis::Script::new(&text).get_hash().to_owned();
    Script { text, hash }
}
