//! Pages of an LMDB file, read as bytes that may be anything.
//!
//! The layout is that of `mdb.c` (`MDB_page`, `MDB_node`, `MDB_db`, `MDB_meta`) on machines of 64 bits, in the
//! machine's byte order. Nothing here trusts a number before it is compared with the page it is about.

use std::fmt;
use std::ops::Range;

/// What a page has before its contents.
pub(super) const HEADER: usize = 16;
/// What a node has before its key.
const NODE: usize = 8;
/// The root of an empty tree.
pub(super) const NO_PAGE: u64 = u64::MAX;

/// Kinds of pages.
pub(super) const BRANCH: u16 = 1;
pub(super) const LEAF: u16 = 2;
pub(super) const OVERFLOW: u16 = 4;
const META: u16 = 8;

/// Kinds of nodes in leaves.
const BIG: u16 = 1;
const TABLE: u16 = 2;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// The tree of free pages has numbers as keys.
const INTEGER_KEYS: u16 = 8;
const MAX_KEY: usize = 511;

/// What is wrong, and on which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) what: &'static str,
    pub(super) page: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}: {}", self.page, self.what)
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// What a file says of one of its trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    pad: u32,
    flags: u16,
    pub(super) depth: u16,
    pub(super) branches: u64,
    pub(super) leaves: u64,
    pub(super) overflows: u64,
    pub(super) entries: u64,
    pub(super) root: u64,
}

impl Tree {
    const BYTES: usize = 48;

    pub(super) fn read(bytes: &[u8], at: usize) -> Self {
        Self {
            pad: u32_at(bytes, at),
            flags: u16_at(bytes, at + 4),
            depth: u16_at(bytes, at + 6),
            branches: u64_at(bytes, at + 8),
            leaves: u64_at(bytes, at + 16),
            overflows: u64_at(bytes, at + 24),
            entries: u64_at(bytes, at + 32),
            root: u64_at(bytes, at + 40),
        }
    }

    /// Whether it is a tree of bytes under bytes, as all of ours are.
    pub(super) fn is_plain(&self) -> bool {
        self.pad == 0 && self.flags == 0
    }

    /// What walking an empty tree gives.
    pub(super) fn nothing(&self) -> Self {
        Self { depth: 0, branches: 0, leaves: 0, overflows: 0, entries: 0, ..*self }
    }
}

/// One of the two pages that a file begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) page_bytes: u32,
    pub(super) free: Tree,
    pub(super) main: Tree,
    pub(super) last_page: u64,
    pub(super) number: u64,
}

impl Meta {
    /// Where its last field ends.
    pub(super) const BYTES: usize = 152;

    /// Reads meta page `page`, 0 or 1. Transaction N is written to page N modulo 2.
    pub(super) fn read(bytes: &[u8], page: u64) -> Result<Self, Damage> {
        let damage = |what| Damage { what, page };
        if u64_at(bytes, 0) != page || u16_at(bytes, 10) != META {
            return Err(damage("not a meta page"));
        }
        if u32_at(bytes, 16) != MAGIC || u32_at(bytes, 20) != VERSION {
            return Err(damage("not of LMDB, or of another version of it"));
        }
        let meta = Self {
            page_bytes: u32_at(bytes, 40),
            free: Tree::read(bytes, 40),
            main: Tree::read(bytes, 88),
            last_page: u64_at(bytes, 136),
            number: u64_at(bytes, 144),
        };
        if meta.free.flags != INTEGER_KEYS || !meta.main.is_plain() {
            return Err(damage("other flags than zoocache sets"));
        }
        if meta.number != 0 && meta.number % 2 != page {
            return Err(damage("the number of a transaction that is written elsewhere"));
        }
        Ok(meta)
    }
}

/// A node of a page, whose parts lie within it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) key: Range<usize>,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Child(u64),
    Here(Range<usize>),
    /// So many bytes from page so-and-so on.
    Elsewhere(u64, u64),
    /// A named table.
    Table(Tree),
}

/// The nodes of a branch or leaf page. They fill its end without gaps and without sharing a byte, as LMDB moves
/// them by their sizes.
pub(super) fn nodes(bytes: &[u8], page: u64) -> Result<Vec<Node>, Damage> {
    let damage = |what| Damage { what, page };
    let (lower, upper) = (usize::from(u16_at(bytes, 12)), usize::from(u16_at(bytes, 14)));
    if lower < HEADER || lower > upper || upper > bytes.len() || lower % 2 != 0 || upper % 2 != 0 {
        return Err(damage("its free space is not within it"));
    }
    let is_branch = match (u16_at(bytes, 10), u16_at(bytes, 8)) {
        (BRANCH, 0) => true,
        (LEAF, 0) => false,
        _ => return Err(damage("neither a branch nor a leaf")),
    };
    // Two nodes must fit, or a full page could not be split.
    let largest = (((bytes.len() - HEADER) / 2) & !1) - 2;
    let mut nodes = Vec::with_capacity((lower - HEADER) / 2);
    let mut places = Vec::with_capacity(nodes.capacity());
    for at in (HEADER..lower).step_by(2) {
        let begin = usize::from(u16_at(bytes, at));
        if begin < upper || begin % 2 != 0 || begin + NODE > bytes.len() {
            return Err(damage("a node is not within it"));
        }
        let (node, size) = node(bytes, begin, is_branch).map_err(damage)?;
        if size > largest {
            return Err(damage("a node is too large"));
        }
        places.push((begin, size));
        nodes.push(node);
    }
    places.sort_unstable();
    let end = places.iter().try_fold(upper, |end, (begin, size)| (*begin == end).then_some(end + size));
    if end != Some(bytes.len()) {
        return Err(damage("nodes overlap, or there are gaps between them"));
    }
    Ok(nodes)
}

/// A node and its size.
fn node(bytes: &[u8], begin: usize, is_branch: bool) -> Result<(Node, usize), &'static str> {
    let (low, flags) = (u32_at(bytes, begin), u16_at(bytes, begin + 4));
    let key_bytes = usize::from(u16_at(bytes, begin + 6));
    let key = begin + NODE..begin + NODE + key_bytes;
    let here = |length: u64| -> Result<Range<usize>, &'static str> {
        let end = usize::try_from(length).ok().and_then(|length| length.checked_add(key.end));
        match end {
            Some(end) if key_bytes <= MAX_KEY && end.next_multiple_of(2) <= bytes.len() => Ok(key.end..end),
            _ => Err("a node reaches beyond it"),
        }
    };
    let (content, end) = if is_branch {
        here(0)?;
        (Content::Child(u64::from(low) | (u64::from(flags) << 32)), key.end)
    } else {
        match flags {
            0 => {
                let range = here(u64::from(low))?;
                (Content::Here(range.clone()), range.end)
            }
            BIG => {
                let range = here(8)?;
                (Content::Elsewhere(u64_at(bytes, range.start), u64::from(low)), range.end)
            }
            TABLE if low as usize == Tree::BYTES => {
                let range = here(u64::from(low))?;
                (Content::Table(Tree::read(bytes, range.start)), range.end)
            }
            _ => return Err("a node of a kind that zoocache does not write"),
        }
    };
    let size = (end - begin).next_multiple_of(2);
    Ok((Node { key, content }, size))
}
