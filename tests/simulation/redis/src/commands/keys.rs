//! Keys, whatever they hold.

use super::{NO_SYNTAX, NOT_SIMULATED, Outcome, integer, is};
use crate::command::shown;
use crate::glob::matches;
use crate::keyspace::Content;
use crate::reply::Reply;
use crate::store::Store;

pub(crate) fn kind(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let kind = match store.data.get(&words[1], store.now_ms()).map(|entry| &entry.content) {
        None => "none",
        Some(Content::Text(_)) => "string",
        Some(Content::Table(_)) => "zset",
    };
    Ok(Reply::Status(kind.to_owned()))
}

pub(crate) fn exists(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let now_ms = store.now_ms();
    Ok(Reply::count(words[1..].iter().filter(|key| store.data.get(key, now_ms).is_some()).count()))
}

pub(crate) fn del(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let now_ms = store.now_ms();
    let mut removed = 0;
    for key in &words[1..] {
        removed += usize::from(store.data.get(key, now_ms).is_some());
        store.data.remove(key);
    }
    Ok(Reply::count(removed))
}

pub(crate) fn pttl(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let now_ms = store.now_ms();
    let left_ms = match store.data.get(&words[1], now_ms) {
        None => -2,
        Some(entry) => entry.expires_ms.map_or(-1, |expires_ms| expires_ms - now_ms),
    };
    Ok(Reply::Int(left_ms))
}

pub(crate) fn pexpire(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    if let Some(option) = words.get(3) {
        if ["NX", "XX", "GT", "LT"].iter().any(|known| is(option, known)) {
            return Err(NOT_SIMULATED);
        }
        return Ok(Reply::Error(format!("ERR Unsupported option {}", shown(option, option.len()))));
    }
    let live_ms = integer(&words[2])?;
    let now_ms = store.now_ms();
    let expires_ms = now_ms.checked_add(live_ms).ok_or("ERR invalid expire time in 'pexpire' command")?;
    let Some(entry) = store.data.get_mut(&words[1], now_ms) else { return Ok(Reply::Int(0)) };
    entry.expires_ms = Some(expires_ms);
    if live_ms <= 0 {
        store.data.remove(&words[1]);
    }
    Ok(Reply::Int(1))
}

pub(crate) fn scan(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let from = std::str::from_utf8(&words[1]).ok().and_then(|from| from.parse().ok());
    let from = from.ok_or("ERR invalid cursor")?;
    let (mut pattern, mut count) = (&b"*"[..], 10);
    let (options, rest) = words[2..].as_chunks::<2>();
    for [option, value] in options {
        if is(option, "MATCH") {
            pattern = value;
        } else if is(option, "COUNT") {
            count = usize::try_from(integer(value)?).ok().filter(|count| *count > 0).ok_or(NO_SYNTAX)?;
        } else if is(option, "TYPE") {
            return Err(NOT_SIMULATED);
        } else {
            return Err(NO_SYNTAX);
        }
    }
    if !rest.is_empty() {
        return Err(NO_SYNTAX);
    }
    let (next, names) = store.data.walk(from, count, store.now_ms());
    let names =
        names.into_iter().filter(|name| matches(pattern, name)).map(|name| Reply::Text(name.to_vec()));
    Ok(Reply::List(vec![Reply::Text(next.to_string().into_bytes()), Reply::List(names.collect())]))
}

pub(crate) fn keys(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let names = store.data.keys(store.now_ms()).filter(|name| matches(&words[1], name));
    Ok(Reply::List(names.map(|name| Reply::Text(name.to_vec())).collect()))
}
