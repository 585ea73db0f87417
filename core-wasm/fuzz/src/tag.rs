//! Texts as tags: those that the rules allow, spelled in one way.

use zoocache_core::limits::{MAX_TAG_CHARS, MAX_TAG_DEPTH};
use zoocache_core::{DomainId, Engine, EngineConfig, Tag};

use crate::allocations::within;

/// Refused texts are quoted in part; a tag is copied.
const MOST_BYTES: usize = 2_048;

/// A text is a tag exactly if the rules say so, and comes back as it was given.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = within(MOST_BYTES, || Tag::parse(text));
    assert_eq!(parsed.is_ok(), is_allowed(text), "{parsed:?}");
    let tag = match parsed {
        Ok(tag) => tag,
        Err(error) => {
            assert!(error.to_string().len() < 1_024, "a message is short");
            return;
        }
    };
    assert_eq!(tag.to_string(), text);
    assert_eq!(tag.segments().collect::<Vec<_>>().join(":"), tag.as_str());
    assert_eq!(tag.segments().count(), tag.depth());
    let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
    let handle = engine.intern(&tag);
    assert_eq!(handle.tag(), tag);
    assert_eq!(engine.stats().nodes, tag.depth());
    let at = engine.invalidate(std::slice::from_ref(&tag), 1_000).expect("positions are left");
    assert_eq!((handle.latest(), engine.latest(&tag)), (at, at));
}

/// The rules, in the order in which the documentation has them.
fn is_allowed(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let path = text.strip_suffix(":*").unwrap_or(text);
    let characters: Vec<char> = path.chars().collect();
    let is_separator = |character: &char| matches!(character, ':' | '.');
    (1..=MAX_TAG_CHARS).contains(&text.chars().count())
        && path.split(':').count() <= MAX_TAG_DEPTH
        && characters.iter().all(|character| character.is_alphanumeric() || "_-./@+=~%:".contains(*character))
        && characters.first().is_some_and(|first| !is_separator(first))
        && characters.last().is_some_and(|last| !is_separator(last))
        && !characters.windows(2).any(|pair| pair.iter().all(is_separator))
}
