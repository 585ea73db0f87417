//! [`Tag`]: the name of something that can change, a path of segments such as `org:1:store:2`.
//!
//! Invariant: a `Tag` that exists is valid, so nothing else validates. It owns syntax only and
//! knows neither nodes nor entries.

use core::fmt;
use core::hash::Hash;

use smol_str::SmolStr;

use crate::limits::{MAX_QUOTED_CHARS, MAX_TAG_BYTES, MAX_TAG_CHARS, MAX_TAG_DEPTH};
use crate::trie::Place;

/// A validated path of segments; with a last segment `*`, that path and everything below it.
///
/// ```
/// use zoocache_core::Tag;
///
/// let list = Tag::parse("org:1:products:*")?;
/// assert_eq!(list.as_str(), "org:1:products");
/// assert!(list.is_subtree());
/// assert_eq!(list.to_string(), "org:1:products:*");
/// assert!(Tag::parse("org::1").is_err());
/// # Ok::<(), zoocache_core::TagError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    path: SmolStr,
    subtree: bool,
}

impl Tag {
    /// Checks `text` and makes a tag of it.
    ///
    /// Allowed are 1 to [`MAX_TAG_CHARS`] characters in at most [`MAX_TAG_DEPTH`] segments: letters
    /// and digits of any script and `_ - . / @ + = ~ %`, segments separated by `:`, and a last
    /// segment that is exactly `*`.
    ///
    /// # Errors
    /// [`TagError`] says which rule is broken and what to do about it.
    ///
    /// # Complexity
    /// O(length), and O(1) for what is longer than any tag.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        check_size(text)?;
        let (path, subtree) = match text.strip_suffix('*') {
            Some("") => return Ok(Self { path: SmolStr::default(), subtree: true }),
            Some(before) => before.strip_suffix(':').map_or((text, false), |path| (path, true)),
            None => (text, false),
        };
        // Shorter ones cannot be too deep.
        if path.len() > 2 * MAX_TAG_DEPTH {
            let depth = path.bytes().filter(|byte| *byte == b':').count() + 1;
            if depth > MAX_TAG_DEPTH {
                return Err(TagError::TooDeep { depth });
            }
        }
        check_characters(text, path)?;
        Ok(Self { path: SmolStr::new(path), subtree })
    }

    /// The empty path, of which every tag is a descendant.
    pub fn root() -> Self {
        Self::from_path(SmolStr::default(), false)
    }

    /// A tag of a path that is known to be valid.
    pub(crate) fn from_path(path: SmolStr, subtree: bool) -> Self {
        Self { path, subtree }
    }

    /// The path, without the `:*` of a subtree; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Whether everything below the path is meant too.
    pub fn is_subtree(&self) -> bool {
        self.subtree
    }

    /// The tag of a place on its path.
    pub(crate) fn prefix(&self, place: Place) -> Self {
        let mut length = 0;
        for segment in self.segments().take(place.depth) {
            length += segment.len() + usize::from(length > 0);
        }
        // `get`, as slicing drags in the code of its panic.
        Self::from_path(SmolStr::new(self.path.get(..length).unwrap_or_default()), place.is_below)
    }

    /// The segments of the path, root first; none for the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        Segments { rest: (!self.path.is_empty()).then_some(&self.path) }
    }

    /// How many segments the path has.
    pub fn depth(&self) -> usize {
        self.segments().count()
    }
}

/// What [`str::split`] does, which is much larger, as it can do more.
struct Segments<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let Some(end) = rest.bytes().position(|byte| byte == b':') else { return self.rest.take() };
        self.rest = rest.get(end + 1..);
        rest.get(..end)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        match (self.subtree, self.path.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => formatter.write_str("*"),
            (true, false) => formatter.write_str(":*"),
        }
    }
}

impl core::str::FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        Self::parse(text)
    }
}

fn check_size(text: &str) -> Result<(), TagError> {
    if text.is_empty() {
        return Err(TagError::Empty);
    }
    if text.len() > MAX_TAG_BYTES {
        // Not counted: a megabyte of text must cost no more than a comparison.
        return Err(TagError::TooLong { length: text.len().div_ceil(4), exact: false });
    }
    if text.len() > MAX_TAG_CHARS {
        // Not `chars().count()`, whose vector code is larger than all of this file.
        let length = text.bytes().filter(|byte| byte & 0xC0 != 0x80).count();
        if length > MAX_TAG_CHARS {
            return Err(TagError::TooLong { length, exact: true });
        }
    }
    Ok(())
}

/// `text` is what was given (and is quoted), `path` what is left of it without `:*`.
fn check_characters(text: &str, path: &str) -> Result<(), TagError> {
    let is_edge = |byte: Option<&u8>| matches!(byte, None | Some(b':' | b'.'));
    if is_edge(path.as_bytes().first()) || is_edge(path.as_bytes().last()) {
        return Err(TagError::Edge);
    }
    if is_plain(path) {
        return Ok(());
    }
    let mut after_separator = false;
    for character in path.chars() {
        let is_separator = matches!(character, ':' | '.');
        if is_separator && after_separator {
            return Err(TagError::ConsecutiveSeparators);
        }
        after_separator = is_separator;
        if !(is_separator
            || character.is_alphanumeric()
            || matches!(character, '_' | '-' | '/' | '@' | '+' | '=' | '~' | '%'))
        {
            let quoted = text.chars().take(MAX_QUOTED_CHARS).collect();
            return Err(TagError::InvalidCharacter { character, quoted });
        }
    }
    Ok(())
}

/// Whether it is a path of ASCII letters, digits, `_` and `-`, as most are: told by looking at bytes.
fn is_plain(path: &str) -> bool {
    let mut before = b':';
    for byte in path.bytes() {
        let is_plain = if byte == b':' {
            before != b':'
        } else {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
        };
        if !is_plain {
            return false;
        }
        before = byte;
    }
    true
}

/// Why a text is no tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagError {
    /// Nothing was given.
    Empty,
    /// More than [`MAX_TAG_CHARS`] characters.
    TooLong {
        /// How many there are.
        length: usize,
        /// Whether they were counted; if not, there are at least so many.
        exact: bool,
    },
    /// More than [`MAX_TAG_DEPTH`] segments.
    TooDeep {
        /// How many there are.
        depth: usize,
    },
    /// A separator at one end.
    Edge,
    /// Two separators in a row.
    ConsecutiveSeparators,
    /// A character that tags do not have.
    InvalidCharacter {
        /// The first such character.
        character: char,
        /// The beginning of the text.
        quoted: SmolStr,
    },
}

impl fmt::Display for TagError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("Tag cannot be empty"),
            Self::TooLong { length, exact } => write!(
                formatter,
                "Tag length exceeded: {}{length} characters, at most {MAX_TAG_CHARS}; shorten it, or hash its long part",
                if *exact { "" } else { "at least " }
            ),
            Self::TooDeep { depth } => write!(
                formatter,
                "Tag depth exceeded: {depth} levels, at most {MAX_TAG_DEPTH}; join some segments with '/' or '-'"
            ),
            Self::Edge => formatter.write_str("Tag cannot start or end with ':' or '.'"),
            Self::ConsecutiveSeparators => {
                formatter.write_str("Tag cannot contain consecutive separators (':' or '.')")
            }
            Self::InvalidCharacter { character, quoted } => write!(
                formatter,
                "Invalid character {character:?} in tag {quoted:?}: allowed are letters, digits, \
                 '_-./@+=~%', ':' between segments, and a last segment '*'"
            ),
        }
    }
}

impl core::error::Error for TagError {}
