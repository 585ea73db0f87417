//! Keys that hold a text.

use std::sync::Arc;

use super::{NO_SYNTAX, NOT_SIMULATED, Outcome, WRONG_KIND, integer, is};
use crate::keyspace::{Content, Entry};
use crate::reply::Reply;
use crate::store::Store;

pub(crate) fn get(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    Ok(text(store, &words[1])?.map_or(Reply::Nil, |text| Reply::Text(text.to_vec())))
}

pub(crate) fn getrange(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let (first, last) = (integer(&words[2])?, integer(&words[3])?);
    let text = text(store, &words[1])?.unwrap_or_default();
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let from_end = |place: i64| if place < 0 { place.saturating_add(length).max(0) } else { place };
    if first < 0 && last < 0 && first > last {
        return Ok(Reply::Text(Vec::new()));
    }
    let (first, last) = (from_end(first), from_end(last).min(length - 1));
    let range = usize::try_from(first).ok().zip(usize::try_from(last).ok());
    let part = range.and_then(|(first, last)| text.get(first..=last));
    Ok(Reply::Text(part.unwrap_or_default().to_vec()))
}

pub(crate) fn set(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let (mut must_be_new, mut live_ms) = (false, None);
    let mut options = words[3..].iter();
    while let Some(option) = options.next() {
        if is(option, "NX") {
            must_be_new = true;
        } else if is(option, "PX") && live_ms.is_none() {
            live_ms = Some(options.next().ok_or(NO_SYNTAX)?);
        } else if ["XX", "GET", "EX", "EXAT", "PXAT", "KEEPTTL"].iter().any(|known| is(option, known)) {
            return Err(NOT_SIMULATED);
        } else {
            return Err(NO_SYNTAX);
        }
    }
    let now_ms = store.now_ms();
    let expires_ms = match live_ms {
        Some(live_ms) => Some(
            Some(integer(live_ms)?)
                .filter(|live_ms| *live_ms > 0)
                .and_then(|live_ms| now_ms.checked_add(live_ms))
                .ok_or("ERR invalid expire time in 'set' command")?,
        ),
        None => None,
    };
    if must_be_new && store.data.get(&words[1], now_ms).is_some() {
        return Ok(Reply::Nil);
    }
    store.data.insert(&words[1], Entry { content: Content::Text(Arc::from(&*words[2])), expires_ms });
    Ok(Reply::ok())
}

fn text<'a>(store: &'a Store, key: &[u8]) -> Result<Option<&'a [u8]>, &'static str> {
    match store.data.get(key, store.now_ms()).map(|entry| &entry.content) {
        None => Ok(None),
        Some(Content::Text(text)) => Ok(Some(text)),
        Some(Content::Table(_)) => Err(WRONG_KIND),
    }
}
