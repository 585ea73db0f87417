//! The tag parser against a naive checker, and its messages.
#![cfg(not(loom))]

use proptest::prelude::*;
use zoocache_core::Tag;

/// The rules of a tag, one after the other, with no care for speed.
fn is_tag(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let path = text.strip_suffix(":*").unwrap_or(text);
    let characters: Vec<char> = path.chars().collect();
    let separator = |character: &char| ":.".contains(*character);
    (1..=256).contains(&text.chars().count())
        && path.split(':').count() <= 16
        && !characters.is_empty()
        && !characters.first().is_some_and(separator)
        && !characters.last().is_some_and(separator)
        && !characters.windows(2).any(|pair| pair.iter().all(separator))
        && characters.iter().all(|character| character.is_alphanumeric() || "_-./@+=~%:".contains(*character))
}

fn refused(text: &str) -> String {
    Tag::parse(text).expect_err("not a tag").to_string()
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(refused(""), "Tag cannot be empty");
    let long = refused(&"a".repeat(257));
    assert!(long.starts_with("Tag length exceeded: 257 characters, at most 256; "), "{long}");
    assert!(refused(&"é".repeat(300)).starts_with("Tag length exceeded: 300 "));
    assert!(refused(&"a".repeat(1 << 20)).starts_with("Tag length exceeded: at least "));
    assert!(refused(&["a"; 17].join(":")).starts_with("Tag depth exceeded: 17 levels, at most 16; "));
    for text in [":a", "a:", ".a", "a.", ":*", ":"] {
        assert_eq!(refused(text), "Tag cannot start or end with ':' or '.'", "{text}");
    }
    for text in ["a::b", "a..b", "a:.b", "a.:b", "a::*", "a.:*"] {
        let error = refused(text);
        let edge = text.ends_with('*');
        let start =
            if edge { "Tag cannot start or end" } else { "Tag cannot contain consecutive separators" };
        assert!(error.starts_with(start), "{text}: {error}");
    }
    let error = refused("a|b");
    assert!(error.starts_with("Invalid character '|' in tag \"a|b\": allowed are "), "{error}");
    assert!(refused("a:*:b").starts_with("Invalid character '*' in tag "));
    assert!(refused("a*").starts_with("Invalid character '*' in tag "));
    assert!(refused(&format!("|{}", "\u{7}".repeat(255))).len() < 600);
}

#[test]
fn accepted_tags_keep_their_text() {
    for text in
        ["a", "*", "a:*", "org:1:store:2", "größe:7", "日本:東京", "v1.2:x@y+z=~%-_/", &["a"; 16].join(":")]
    {
        let tag = Tag::parse(text).expect("a tag");
        assert_eq!(tag.to_string(), text);
        assert_eq!(tag.depth(), tag.segments().count());
    }
    assert_eq!(Tag::parse("*").map(|tag| (tag.depth(), tag.is_subtree())), Ok((0, true)));
    assert!(Tag::parse(&"a".repeat(256)).is_ok() && Tag::parse(&"é".repeat(256)).is_ok());
    assert_eq!(Tag::root().segments().count(), 0);
}

proptest! {
    #[test]
    fn the_parser_agrees_with_the_rules(text in r"[abé0:.*|_ ]{0,12}") {
        prop_assert_eq!(Tag::parse(&text).is_ok(), is_tag(&text), "{}", text);
    }

    #[test]
    fn the_parser_agrees_on_any_text(text: String) {
        prop_assert_eq!(Tag::parse(&text).is_ok(), is_tag(&text));
    }

    #[test]
    fn the_parser_agrees_on_long_text(text in r"(aé?:?){0,140}(\*|:\*)?") {
        prop_assert_eq!(Tag::parse(&text).is_ok(), is_tag(&text), "{}", text);
    }

    #[test]
    fn a_tag_survives_display(text in r"[ab0]{1,3}(:[ab.]{1,3}){0,4}(:\*)?") {
        if let Ok(tag) = Tag::parse(&text) {
            prop_assert_eq!(tag.to_string(), text);
            prop_assert_eq!(Tag::parse(&tag.to_string()), Ok(tag));
        }
    }
}
