//! The server as a whole.

use super::{NO_SYNTAX, Outcome, is};
use crate::reply::Reply;
use crate::store::Store;

pub(crate) fn time(store: &mut Store, _words: &[Vec<u8>]) -> Outcome {
    let part = |number: u64| Reply::Text(number.to_string().into_bytes());
    Ok(Reply::List(vec![part(store.now_us / 1_000_000), part(store.now_us % 1_000_000)]))
}

/// Nothing but the section that says which process this is, and in which role.
pub(crate) fn info(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let is_it = |section: &Vec<u8>| {
        ["replication", "all", "default", "everything"].iter().any(|known| is(section, known))
    };
    if words.len() > 1 && !words[1..].iter().any(is_it) {
        return Ok(Reply::Prose(String::new()));
    }
    let role = if store.troubles.is_read_only { "slave" } else { "master" };
    Ok(Reply::Prose(format!("# Replication\r\nrole:{role}\r\nmaster_replid:{}\r\n", store.replid)))
}

pub(crate) fn publish(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    store.published.push((words[1].clone(), words[2].clone()));
    Ok(Reply::Int(0))
}

pub(crate) fn dbsize(store: &mut Store, _words: &[Vec<u8>]) -> Outcome {
    Ok(Reply::count(store.data.keys(store.now_ms()).count()))
}

pub(crate) fn flushall(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    match &words[1..] {
        [] => {}
        [how] if is(how, "ASYNC") || is(how, "SYNC") => {}
        _ => return Err(NO_SYNTAX),
    }
    store.data.clear();
    Ok(Reply::ok())
}

pub(crate) fn ping(_store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    match &words[1..] {
        [] => Ok(Reply::Status("PONG".to_owned())),
        [text] => Ok(Reply::Text(text.clone())),
        _ => Err("ERR wrong number of arguments for 'ping' command"),
    }
}
