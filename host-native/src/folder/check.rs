//! Is a file what LMDB may follow? Asked before it is opened by the first process that uses it.
//!
//! LMDB follows page numbers and offsets without looking, so a flipped bit may crash it, or send a search astray.
//! Here everything that it would follow from the newest commit is read once: each page is what points to it,
//! belongs to one tree, holds nodes that lie within it, and keys in order; the numbers that LMDB computes with
//! are those that are found; free pages are free. Contents of large values are not read: they have checksums.
//!
//! That the newest commit *is* the newest is checked too. An older one in its place would bring back what was
//! invalidated since. A commit with the number N frees pages of the one before and writes down which, under N: so
//! each of the two meta pages must lead to such a list of its own number, and their numbers must be neighbours.
//!
//! Invariant: it ends, without a panic, whatever the bytes are, and needs memory for two bits per page.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::page::{
    BRANCH, Content, Damage, HEADER, LEAF, Meta, NO_PAGE, Node, OVERFLOW, Tree, nodes, u16_at, u32_at, u64_at,
};

/// LMDB's cursors are not deeper.
const MAX_DEPTH: u16 = 32;

/// Why a file was not checked to its end.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It is damaged.
    Damage(Damage),
    /// It cannot be read.
    Io(io::Error),
}

impl From<Damage> for Flaw {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

type Checked<T> = Result<T, Flaw>;

/// Whether a row of a table, by its name, is sound.
pub(super) type IsSound = fn(table: &[u8], key: &[u8], row: Option<&[u8]>) -> bool;

/// What is known of a file that is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There is none, or it is empty, or was not made to its end.
    Absent,
    /// The number of its latest commit.
    Sound(u64),
}

/// Checks a file. `reads` says of which tables the rows are read too, however large, and given to `is_sound`.
pub(super) fn check(path: &Path, reads: fn(table: &[u8]) -> bool, is_sound: IsSound) -> Checked<State> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Damage { what: "not in a folder", page: 0 }.into());
        }
        file => file.map_err(Flaw::Io)?,
    };
    let about = file.metadata().map_err(Flaw::Io)?;
    if !about.is_file() {
        return Err(Damage { what: "not a file", page: 0 }.into());
    }
    if about.len() == 0 {
        return Ok(State::Absent);
    }
    let Some((newest, older)) = metas(&file, about.len())? else { return Ok(State::Absent) };
    let page_bytes = u64::from(newest.page_bytes);
    let pages = about.len() / page_bytes;
    // Pages at the end of a file that are free need not be written; but they are in the list of those, in the file.
    if newest.last_page >= pages.saturating_add(about.len() / 8) {
        return Err(Damage { what: "the file is cut off", page: newest.last_page }.into());
    }
    let mut walk = Walk {
        file: &file,
        page_bytes: newest.page_bytes as usize,
        pages,
        last_page: newest.last_page,
        used: Bits::new(newest.last_page + 1),
        free: Bits::new(newest.last_page + 1),
        reads,
        is_sound,
    };
    walk.used.set(0);
    walk.used.set(1);
    walk.is_of(&older)?;
    walk.is_of(&newest)?;
    walk.tree(Kind::Free, &newest.free)?;
    walk.tree(Kind::Main, &newest.main)?;
    walk.free_is_free()?;
    Ok(State::Sound(newest.number))
}

/// The meta page that counts, and the other; `None` if whoever made the file was killed between the two.
fn metas(file: &File, length: u64) -> Checked<Option<(Meta, Meta)>> {
    let read = |page: u64, page_bytes: u64| -> Checked<Meta> {
        let mut bytes = [0; Meta::BYTES];
        read_exact(file, &mut bytes, page * page_bytes, page)?;
        Ok(Meta::read(&bytes, page)?)
    };
    let even = read(0, 0)?;
    if !even.page_bytes.is_power_of_two() || !(512..=65_536).contains(&even.page_bytes) {
        return Err(Damage { what: "a page size that cannot be", page: 0 }.into());
    }
    if even.number == 0 && length == u64::from(even.page_bytes) {
        return Ok(None);
    }
    let odd = read(1, u64::from(even.page_bytes))?;
    let are_neighbours = even.number.abs_diff(odd.number) == 1 || (even.number, odd.number) == (0, 0);
    if even.page_bytes != odd.page_bytes || !are_neighbours {
        return Err(Damage { what: "not written after the other meta page", page: 1 }.into());
    }
    Ok(Some(if odd.number > even.number { (odd, even) } else { (even, odd) }))
}

fn read_exact(file: &File, bytes: &mut [u8], at: u64, page: u64) -> Checked<()> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Damage { what: "the file is cut off", page }.into(),
        _ => Flaw::Io(error),
    })
}

/// One bit per page.
struct Bits(Vec<u64>);

impl Bits {
    fn new(pages: u64) -> Self {
        // Bounded by the length of a file.
        Self(vec![0; usize::try_from(pages.div_ceil(64)).unwrap_or(0)])
    }

    /// Whether it was not set before; `false` beyond the last.
    fn set(&mut self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok().and_then(|word| self.0.get_mut(word));
        word.is_some_and(|word| {
            let bit = 1 << (page % 64);
            let was = *word & bit;
            *word |= bit;
            was == 0
        })
    }

    fn has(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| (word >> (page % 64)) & 1 == 1)
    }
}

/// What a tree holds.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// Number of a commit → pages it freed.
    Free,
    /// Names → tables.
    Main,
    Table(&'a [u8]),
}

impl Kind<'_> {
    fn order(self, one: &[u8], other: &[u8]) -> Ordering {
        match self {
            Self::Free => u64_at(one, 0).cmp(&u64_at(other, 0)),
            _ => one.cmp(other),
        }
    }
}

/// Keys are not below the first and below the second.
type Bounds<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

struct Walk<'a> {
    file: &'a File,
    page_bytes: usize,
    /// Whole pages of the file.
    pages: u64,
    last_page: u64,
    used: Bits,
    free: Bits,
    reads: fn(&[u8]) -> bool,
    is_sound: IsSound,
}

impl Walk<'_> {
    /// A page of a tree.
    fn page(&self, page: u64) -> Checked<Vec<u8>> {
        if page < 2 || page > self.last_page || page >= self.pages {
            return Err(Damage { what: "there is no such page in the file", page }.into());
        }
        let mut bytes = vec![0; self.page_bytes];
        read_exact(self.file, &mut bytes, page * self.page_bytes as u64, page)?;
        if u64_at(&bytes, 0) != page {
            return Err(Damage { what: "it has the number of another", page }.into());
        }
        Ok(bytes)
    }

    fn use_once(&mut self, page: u64) -> Checked<()> {
        if self.used.set(page) { Ok(()) } else { Err(Damage { what: "used twice", page }.into()) }
    }

    /// The last list of freed pages that a meta page leads to must be its own.
    fn is_of(&self, meta: &Meta) -> Checked<()> {
        let mut page = meta.free.root;
        if page == NO_PAGE && meta.number <= 1 {
            return Ok(());
        }
        for _ in 0..MAX_DEPTH {
            let bytes = self.page(page)?;
            let nodes = nodes(&bytes, page)?;
            let last = nodes.last().ok_or(Damage { what: "a page without nodes", page })?;
            match last.content {
                Content::Child(child) => page = child,
                _ if last.key.len() == 8 && u64_at(&bytes, last.key.start) == meta.number => return Ok(()),
                _ => break,
            }
        }
        Err(Damage { what: "not what was committed last", page }.into())
    }

    fn tree(&mut self, kind: Kind<'_>, tree: &Tree) -> Checked<()> {
        let mut found = tree.nothing();
        if tree.root != NO_PAGE {
            if tree.depth == 0 || tree.depth > MAX_DEPTH {
                return Err(Damage { what: "a tree that is too deep", page: tree.root }.into());
            }
            found.depth = tree.depth;
            self.subtree(kind, (tree.root, tree.depth), (None, None), &mut found)?;
        }
        if found == *tree {
            Ok(())
        } else {
            Err(Damage { what: "a tree of another size", page: tree.root }.into())
        }
    }

    /// Checks a page that is so many levels above the lowest, and what is below it.
    fn subtree(
        &mut self,
        kind: Kind<'_>,
        (page, levels): (u64, u16),
        (low, high): Bounds<'_>,
        found: &mut Tree,
    ) -> Checked<()> {
        let bytes = self.page(page)?;
        self.use_once(page)?;
        let nodes = nodes(&bytes, page)?;
        let is_branch = levels > 1;
        let fewest = if is_branch && !matches!(kind, Kind::Free) { 2 } else { 1 };
        if u16_at(&bytes, 10) != if is_branch { BRANCH } else { LEAF } || nodes.len() < fewest {
            return Err(Damage { what: "a page of another level", page }.into());
        }
        in_order(kind, (page, &bytes, &nodes), is_branch, (low, high))?;
        if !is_branch {
            found.leaves += 1;
            return nodes.iter().try_for_each(|node| self.row(kind, (page, &bytes), node, found));
        }
        found.branches += 1;
        for (place, node) in nodes.iter().enumerate() {
            let Content::Child(child) = node.content else { continue };
            // The first key of a branch stands for all that is less.
            let from = if place == 0 { low } else { Some(&bytes[node.key.clone()]) };
            let to = nodes.get(place + 1).map_or(high, |next| Some(&bytes[next.key.clone()]));
            self.subtree(kind, (child, levels - 1), (from, to), found)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        kind: Kind<'_>,
        (page, bytes): (u64, &[u8]),
        node: &Node,
        found: &mut Tree,
    ) -> Checked<()> {
        found.entries += 1;
        let key = &bytes[node.key.clone()];
        if let Content::Elsewhere(first, length) = node.content {
            found.overflows += self.run(first, length)?;
        }
        let unsound = |what| Flaw::from(Damage { what, page });
        match (kind, &node.content) {
            (Kind::Main, Content::Table(tree)) if tree.is_plain() => self.tree(Kind::Table(key), tree),
            (Kind::Free, Content::Here(range)) => self.freed(page, &bytes[range.clone()]),
            (Kind::Free, Content::Elsewhere(first, length)) => {
                let list = self.contents(*first, *length)?;
                self.freed(*first, &list)
            }
            (Kind::Table(table), Content::Here(range)) => {
                let is_sound = (self.is_sound)(table, key, Some(&bytes[range.clone()]));
                if is_sound { Ok(()) } else { Err(unsound("a damaged row")) }
            }
            (Kind::Table(table), Content::Elsewhere(first, length)) => {
                let row = if (self.reads)(table) { Some(self.contents(*first, *length)?) } else { None };
                let is_sound = (self.is_sound)(table, key, row.as_deref());
                if is_sound { Ok(()) } else { Err(unsound("a damaged row")) }
            }
            _ => Err(unsound("a node of a kind that zoocache does not write")),
        }
    }

    /// The pages of a row that does not fit into one. There may be more than it needs: it was larger.
    fn run(&mut self, first: u64, length: u64) -> Checked<u64> {
        let bytes = self.page(first)?;
        let pages = u64::from(u32_at(&bytes, 12));
        let needed = (HEADER as u64 + length).div_ceil(self.page_bytes as u64);
        if u16_at(&bytes, 10) != OVERFLOW || pages < needed || pages == 0 {
            return Err(Damage { what: "not the begin of a row that long", page: first }.into());
        }
        let end = first + pages;
        if end > self.pages || end > self.last_page + 1 {
            return Err(Damage { what: "a row that reaches beyond the file", page: first }.into());
        }
        (first..end).try_for_each(|page| self.use_once(page))?;
        Ok(pages)
    }

    /// The bytes of a row whose pages are in the file.
    fn contents(&self, first: u64, length: u64) -> Checked<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        read_exact(self.file, &mut bytes, first * self.page_bytes as u64 + HEADER as u64, first)?;
        Ok(bytes)
    }

    /// A list of freed pages: how many, then the numbers, falling.
    fn freed(&mut self, page: u64, list: &[u8]) -> Checked<()> {
        let damage = |what| Err(Damage { what, page }.into());
        let count = u64_at(list, 0);
        if !list.len().is_multiple_of(8) || count >= list.len() as u64 / 8 {
            return damage("a list of free pages of another length");
        }
        let mut above = u64::MAX;
        for free in list.chunks_exact(8).skip(1).take(usize::try_from(count).unwrap_or(0)) {
            let free = u64_at(free, 0);
            if free < 2 || free > self.last_page || free >= above {
                return damage("free pages that are not in order");
            }
            if !self.free.set(free) {
                return damage("a page that is free twice");
            }
            above = free;
        }
        Ok(())
    }

    /// No page is free and in use, and what the file lacks is free.
    fn free_is_free(&self) -> Checked<()> {
        let both = self.used.0.iter().zip(&self.free.0).position(|(used, free)| used & free != 0);
        if let Some(word) = both {
            return Err(Damage { what: "a page that is free is used", page: word as u64 * 64 }.into());
        }
        match (self.pages..=self.last_page).find(|page| !self.free.has(*page)) {
            Some(page) => Err(Damage { what: "the file is cut off", page }.into()),
            None => Ok(()),
        }
    }
}

fn in_order(
    kind: Kind<'_>,
    (page, bytes, nodes): (u64, &[u8], &[Node]),
    is_branch: bool,
    (low, high): Bounds<'_>,
) -> Result<(), Damage> {
    let damage = |what| Err(Damage { what, page });
    let mut last: Option<&[u8]> = None;
    for node in &nodes[usize::from(is_branch)..] {
        let key = &bytes[node.key.clone()];
        if key.is_empty() || (matches!(kind, Kind::Free) && key.len() != 8) {
            return damage("a key of a length that cannot be");
        }
        let (is_first, floor) = (last.is_none(), last.or(low));
        let rises = floor.is_none_or(|floor| match kind.order(floor, key) {
            Ordering::Less => true,
            // What a branch says of a page may be its first key.
            Ordering::Equal => is_first && !is_branch,
            Ordering::Greater => false,
        });
        if !rises || high.is_some_and(|high| kind.order(key, high) != Ordering::Less) {
            return damage("keys that are not in order");
        }
        last = Some(key);
    }
    Ok(())
}
