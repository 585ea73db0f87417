//! [`Header`]: the freshness part of an entry that rests outside the process, and its bytes v1.
//!
//! ```text
//! 0x5A 0x01          magic, format version 1
//! 16 bytes           domain, little-endian
//! varint             as_of          microseconds, at most 2^53-1
//! varint             created_us
//! varint             expires_us     0 = never
//! varint             number of dependencies
//! each: varint n, n bytes   the tag as displayed (`a:b`, `a:b:*`, `*`); n = 0 is the root itself
//!       varint              the highest position of its path
//! ```
//! Varints are LEB128 in the shortest form, so a header has exactly one spelling. Invariant: decoding
//! is total and bounded. It owns the format; the engine judges.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use crate::bytes::{BytesError, Reader, put_text, put_varint};
use crate::clock::Timestamp;
use crate::engine::DomainId;
use crate::limits::{MAX_DEPENDENCIES, MAX_HEADER_BYTES};
use crate::tag::Tag;

const MAGIC: u8 = 0x5A;
const VERSION: u8 = 1;
/// A dependency has at least a length and a position.
const MIN_DEPENDENCY_BYTES: usize = 2;

/// One dependency of a stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderDependency {
    /// What it depends on.
    pub tag: Tag,
    /// The highest position of the tag's path when the entry was sealed.
    pub stamp: Timestamp,
}

/// What is stored beside a payload to judge it anywhere in its domain.
///
/// ```
/// use zoocache_core::{DomainId, Header, HeaderDependency, Tag, Timestamp};
///
/// let header = Header {
///     domain: DomainId(7),
///     as_of: Timestamp::from_micros(1_000),
///     created_us: 1_200,
///     expires_us: 0,
///     dependencies: vec![HeaderDependency { tag: Tag::parse("org:1")?, stamp: Timestamp::ZERO }],
/// };
/// let bytes = header.encode();
/// assert_eq!(Header::decode(&bytes), Ok((header, bytes.len())));
/// # Ok::<(), zoocache_core::TagError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose order of invalidations the positions belong to.
    pub domain: DomainId,
    /// The position at which the fill began.
    pub as_of: Timestamp,
    /// When it was created, Unix microseconds: for humans and ages.
    pub created_us: u64,
    /// When its time runs out, Unix microseconds; 0 = never.
    pub expires_us: u64,
    /// What it depends on.
    pub dependencies: Vec<HeaderDependency>,
}

impl Header {
    /// The bytes v1 of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48 + self.dependencies.len() * 32);
        bytes.extend_from_slice(&[MAGIC, VERSION]);
        bytes.extend_from_slice(&self.domain.0.to_le_bytes());
        put_varint(&mut bytes, self.as_of.as_micros());
        put_varint(&mut bytes, self.created_us);
        put_varint(&mut bytes, self.expires_us);
        put_varint(&mut bytes, self.dependencies.len() as u64);
        for dependency in &self.dependencies {
            put_text(&mut bytes, &dependency.tag.to_string());
            put_varint(&mut bytes, dependency.stamp.as_micros());
        }
        bytes
    }

    /// Reads a header from the beginning of `bytes`; returns it and how many bytes it took.
    ///
    /// # Errors
    /// [`HeaderError`]; whatever the bytes are, it neither panics nor allocates beyond them.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), HeaderError> {
        let mut reader = Reader::new(&bytes[..bytes.len().min(MAX_HEADER_BYTES)]);
        let [magic, version] = reader.array()?;
        if magic != MAGIC {
            return Err(HeaderError::NoHeader);
        }
        if version != VERSION {
            return Err(HeaderError::Version { version });
        }
        let domain = DomainId(u128::from_le_bytes(reader.array()?));
        let as_of = read_position(&mut reader)?;
        let created_us = reader.varint()?;
        let expires_us = reader.varint()?;
        let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        if count > MAX_DEPENDENCIES {
            return Err(HeaderError::TooManyDependencies { count });
        }
        if count > reader.remaining() / MIN_DEPENDENCY_BYTES {
            return Err(HeaderError::Truncated);
        }
        // Not `with_capacity(count)`: a dependency in memory is larger than its shortest bytes.
        let mut dependencies = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let tag = match reader.text()? {
                "" => Tag::root(),
                text => Tag::parse(text).map_err(|_| HeaderError::Malformed)?,
            };
            dependencies.push(HeaderDependency { tag, stamp: read_position(&mut reader)? });
        }
        Ok((Self { domain, as_of, created_us, expires_us, dependencies }, reader.position()))
    }
}

fn read_position(reader: &mut Reader<'_>) -> Result<Timestamp, HeaderError> {
    Timestamp::checked(reader.varint()?).ok_or(HeaderError::Malformed)
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// They do not begin like one.
    NoHeader,
    /// They are of a format this engine does not read.
    Version {
        /// The version they claim.
        version: u8,
    },
    /// They end early.
    Truncated,
    /// A number, a text or a tag is not valid.
    Malformed,
    /// More than [`MAX_DEPENDENCIES`].
    TooManyDependencies {
        /// How many they claim.
        count: usize,
    },
}

impl From<BytesError> for HeaderError {
    fn from(error: BytesError) -> Self {
        match error {
            BytesError::Truncated => Self::Truncated,
            BytesError::Malformed => Self::Malformed,
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => formatter.write_str("Not an entry header"),
            Self::Version { version } => {
                write!(formatter, "Header version {version} is not readable, only {VERSION}")
            }
            Self::Truncated => formatter.write_str("Header ends early"),
            Self::Malformed => formatter.write_str("Header is malformed"),
            Self::TooManyDependencies { count } => {
                write!(formatter, "Header claims {count} dependencies, at most {MAX_DEPENDENCIES}")
            }
        }
    }
}

impl core::error::Error for HeaderError {}
