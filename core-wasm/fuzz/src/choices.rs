//! The bytes of an input as choices, one after another. When they end, so does the program.

use zoocache_core::Tag;

pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    /// A choice that must be made, or nothing more happens.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    pub(crate) fn index(&mut self) -> usize {
        usize::from(self.byte())
    }

    /// In bounds that few bytes reach.
    pub(crate) fn number(&mut self) -> u64 {
        u64::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// Any at all.
    pub(crate) fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// One of few tags, so that they meet: up to three segments of two bits each, and whether it is a subtree.
    pub(crate) fn tag(&mut self) -> Tag {
        let byte = self.byte();
        let mut parts: Vec<_> = (0..3)
            .map_while(|place| ["", "a", "b", "c"].get(usize::from(byte >> (2 * place) & 3)).copied())
            .take_while(|segment| !segment.is_empty())
            .collect();
        if byte >> 6 == 3 {
            parts.push("*");
        }
        if parts.is_empty() { Tag::root() } else { Tag::parse(&parts.join(":")).expect("valid") }
    }

    /// One or two.
    pub(crate) fn tags(&mut self) -> Vec<Tag> {
        let first = self.tag();
        if self.byte() % 2 == 1 { vec![first, self.tag()] } else { vec![first] }
    }
}
