//! Keys that hold a sorted set.

use std::sync::Arc;

use super::{NO_SYNTAX, NOT_SIMULATED, Outcome, WRONG_KIND, integer, is};
use crate::keyspace::{Content, Entry};
use crate::number::{read_bound, read_score};
use crate::reply::Reply;
use crate::sorted_set::{Bound, SortedSet};
use crate::store::Store;

pub(crate) fn zadd(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    if ["NX", "XX", "GT", "LT", "CH", "INCR"].iter().any(|option| is(&words[2], option)) {
        return Err(NOT_SIMULATED);
    }
    let (pairs, []) = words[2..].as_chunks::<2>() else { return Err(NO_SYNTAX) };
    // All of them first: either all are added or none.
    let scores = pairs.iter().map(|[score, _]| read_score(score).ok_or("ERR value is not a valid float"));
    let scores: Vec<f64> = scores.collect::<Result<_, _>>()?;
    let now_ms = store.now_ms();
    if store.data.get(&words[1], now_ms).is_none() {
        store.data.insert(&words[1], Entry { content: Content::Table(Arc::default()), expires_ms: None });
    }
    let table = table_mut(store, &words[1])?.expect("invariant: it was just made");
    let added = pairs.iter().zip(scores).filter(|([_, member], score)| table.insert(member, *score)).count();
    Ok(Reply::count(added))
}

pub(crate) fn zrem(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let Some(present) = table(store, &words[1])? else { return Ok(Reply::Int(0)) };
    if words[2..].iter().all(|member| present.score(member).is_none()) {
        return Ok(Reply::Int(0));
    }
    let table = table_mut(store, &words[1])?.expect("invariant: it is there");
    let removed = words[2..].iter().filter(|member| table.remove(member)).count();
    if table.len() == 0 {
        store.data.remove(&words[1]);
    }
    Ok(Reply::count(removed))
}

pub(crate) fn zscore(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    Ok(score(table(store, &words[1])?, &words[2]))
}

pub(crate) fn zmscore(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let table = table(store, &words[1])?;
    Ok(Reply::List(words[2..].iter().map(|member| score(table, member)).collect()))
}

pub(crate) fn zcard(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    Ok(Reply::count(table(store, &words[1])?.map_or(0, SortedSet::len)))
}

pub(crate) fn zrange(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let mut with_scores = false;
    for option in &words[4..] {
        if is(option, "WITHSCORES") {
            with_scores = true;
        } else if ["BYSCORE", "BYLEX", "REV", "LIMIT"].iter().any(|known| is(option, known)) {
            return Err(NOT_SIMULATED);
        } else {
            return Err(NO_SYNTAX);
        }
    }
    let (first, last) = (integer(&words[2])?, integer(&words[3])?);
    let table = table(store, &words[1])?;
    Ok(members(table.map(|table| table.by_place(first, last)).unwrap_or_default(), with_scores))
}

pub(crate) fn zrangebyscore(store: &mut Store, words: &[Vec<u8>]) -> Outcome {
    let (mut with_scores, mut offset, mut count) = (false, 0, -1);
    let mut options = &words[4..];
    while let [option, rest @ ..] = options {
        options = match rest {
            rest if is(option, "WITHSCORES") => {
                with_scores = true;
                rest
            }
            [first, most, rest @ ..] if is(option, "LIMIT") => {
                (offset, count) = (integer(first)?, integer(most)?);
                rest
            }
            _ => return Err(NO_SYNTAX),
        };
    }
    let (min, max) = (bound(&words[2])?, bound(&words[3])?);
    let Some(table) = table(store, &words[1])? else { return Ok(members(Vec::new(), with_scores)) };
    // A negative offset passes over everything, and a negative count is none.
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = table.by_score(min, max).skip(offset).take(count).collect();
    Ok(members(found, with_scores))
}

fn bound(word: &[u8]) -> Result<Bound, &'static str> {
    let (is_excluded, number) = word.strip_prefix(b"(").map_or((false, word), |number| (true, number));
    let score = read_bound(number).ok_or("ERR min or max is not a float")?;
    Ok(Bound { score, is_excluded })
}

fn members(found: Vec<(&[u8], f64)>, with_scores: bool) -> Reply {
    if with_scores {
        Reply::Scores(found.into_iter().map(|(member, score)| (member.to_vec(), score)).collect())
    } else {
        Reply::List(found.into_iter().map(|(member, _)| Reply::Text(member.to_vec())).collect())
    }
}

fn score(table: Option<&SortedSet>, member: &[u8]) -> Reply {
    table.and_then(|table| table.score(member)).map_or(Reply::Nil, Reply::Score)
}

fn table<'a>(store: &'a Store, key: &[u8]) -> Result<Option<&'a SortedSet>, &'static str> {
    match store.data.get(key, store.now_ms()).map(|entry| &entry.content) {
        None => Ok(None),
        Some(Content::Table(table)) => Ok(Some(table)),
        Some(Content::Text(_)) => Err(WRONG_KIND),
    }
}

fn table_mut<'a>(store: &'a mut Store, key: &[u8]) -> Result<Option<&'a mut SortedSet>, &'static str> {
    let now_ms = store.now_ms();
    match store.data.get_mut(key, now_ms).map(|entry| &mut entry.content) {
        None => Ok(None),
        Some(Content::Table(table)) => Ok(Some(Arc::make_mut(table))),
        Some(Content::Text(_)) => Err(WRONG_KIND),
    }
}
