//! Reading and writing of the stable byte formats: little-endian words and varints.
//!
//! Invariant: reading never panics, never allocates, and accepts exactly one spelling of a number.
//! It knows no format; [`crate::header`] and the snapshot do.

use alloc::vec::Vec;

/// The input ended early, or a number is not spelled in the shortest way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BytesError {
    Truncated,
    Malformed,
}

/// A cursor over bytes from outside.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], BytesError> {
        let end = self.position.checked_add(length).ok_or(BytesError::Truncated)?;
        let taken = self.bytes.get(self.position..end).ok_or(BytesError::Truncated)?;
        self.position = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], BytesError> {
        self.take(N)?.try_into().map_err(|_| BytesError::Truncated)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, BytesError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit, and a last byte of 0 would be a longer spelling.
            if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
                return Err(BytesError::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BytesError::Malformed)
    }

    /// A varint length, then that many bytes of UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, BytesError> {
        let length = usize::try_from(self.varint()?).map_err(|_| BytesError::Truncated)?;
        core::str::from_utf8(self.take(length)?).map_err(|_| BytesError::Malformed)
    }
}

pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("invariant: seven bits fit a byte");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_longer_spelling_is_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).varint(), Err(BytesError::Malformed));
        assert_eq!(Reader::new(&[0xff; 10]).varint(), Err(BytesError::Malformed));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(BytesError::Truncated));
    }

    proptest! {
        #[test]
        fn numbers_survive(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}
