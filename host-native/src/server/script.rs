//! The scripts that run on the server, each as one step: by their hash, and by their text where that is not known.

use std::sync::LazyLock;

/// A script, and the hash by which the server knows it.
pub(super) struct Script {
    pub(super) text: String,
    pub(super) hash: String,
}

use super::mutant;

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            script(concat!(include_str!("scripts/begin.lua"), include_str!(concat!("scripts/", $file))))
        });)*
    };
}

scripts! {
    HELLO = "hello.lua";
    INVALIDATE = "invalidate.lua";
    CHANGE = "change.lua";
    CHECK = "check.lua";
    DUE = "due.lua";
    PUT = "put.lua";
    DELETE = "delete.lua";
    TIDY = "tidy.lua";
    CLEAR = "clear.lua";
}

pub(super) static UNLOCK: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/unlock.lua")));
pub(super) static EXTEND: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/extend.lua")));
pub(super) static REMOVE: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/remove.lua")));

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
