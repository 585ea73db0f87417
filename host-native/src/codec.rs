//! The envelope in which a value rests outside the process, and its bytes v1.
//!
//! ```text
//! 0xC1 0x5A 0x01     magic (no MessagePack begins with 0xC1), format version 1
//! flags              bit 0: the payload is an LZ4 block; bit 1: a MAC ends the envelope
//! u32 n, n bytes     header, opaque here; numbers are little-endian
//! u32                size of the payload before compression, if bit 0 is set
//! the payload
//! 32 bytes           keyed BLAKE3 of all of the above and of a context, if bit 1 is set
//! ```
//!
//! Invariant: [`open`] is total. Whatever the bytes are, it neither panics nor allocates more than a mebibyte
//! or 32 times what it was given, nor more than [`MAX_VALUE_BYTES`]; with a secret it looks at nothing that is not
//! authentic. What the payload means is its owner's business.

use std::borrow::Cow;
use std::fmt;

/// Longest payload, before compression.
pub const MAX_VALUE_BYTES: usize = 512 << 20;
/// Payloads up to this long are not compressed: it would cost more time than it saves.
const COMPRESS_ABOVE: usize = 1024;
/// One byte of an LZ4 block stands for at most so many.
const MAX_LZ4_RATIO: usize = 255;
/// Payloads longer than this are compressed only if they shrink to more than one part in
/// [`MAX_LONG_RATIO`], so that a few kilobytes from outside cannot become gigabytes.
const LONG: usize = 1 << 20;
const MAX_LONG_RATIO: usize = 32;

const MAGIC: [u8; 3] = [0xC1, 0x5A, 1];
const COMPRESSED: u8 = 1;
const AUTHENTICATED: u8 = 2;
const MAC_BYTES: usize = blake3::OUT_LEN;

/// What turns values into bytes and back, where they rest outside of the process.
///
/// Both are called with no lock of the cache held.
pub trait ValueCodec<V>: Send + Sync + 'static {
    /// The bytes of a value.
    ///
    /// # Errors
    /// When it has none; then it is not stored.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;
    /// The value of bytes, which may come from another version of the program.
    ///
    /// # Errors
    /// When they are none of a value; then it is computed anew.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;
}

/// Why a value has no bytes, or bytes are no value.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// The key that authenticates envelopes. It is not shown by `Debug`.
#[derive(Clone)]
pub struct Secret([u8; blake3::KEY_LEN]);

impl Secret {
    /// Derives the key from what a user chose, of any length.
    pub fn derive(chosen: &[u8]) -> Self {
        Self(blake3::derive_key("zoocache envelope authentication v1", chosen))
    }

    /// The MAC of an envelope's bytes in a context.
    fn mac(&self, context: &[u8], envelope: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The length keeps the two apart.
        hasher.update(&(context.len() as u64).to_le_bytes()).update(context).update(envelope);
        hasher.finalize()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// What authenticates envelopes: nothing, or a secret and where the envelope belongs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Authentication<'a> {
    /// The key, if there is one.
    pub secret: Option<&'a Secret>,
    /// Where the envelope belongs, such as its entry's key. Elsewhere it is refused.
    pub context: &'a [u8],
}

/// An opened envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The header, as it was given to [`seal`].
    pub header: &'a [u8],
    /// The payload, as it was given to [`seal`].
    pub payload: Cow<'a, [u8]>,
}

/// Why a payload cannot be put into an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value takes {bytes} bytes, more than {MAX_VALUE_BYTES}; cache its parts one by one")]
pub struct TooLong {
    /// How long it is.
    pub bytes: usize,
}

/// Why bytes are not an envelope that may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// They do not begin like one.
    #[error("these bytes are not a value stored by zoocache")]
    NoEnvelope,
    /// They are of a format, or use a feature of it, that this version does not read.
    #[error("these bytes are in a format that this version of zoocache does not read")]
    Version,
    /// They end early.
    #[error("the bytes end early")]
    Truncated,
    /// The payload is not what it is said to be.
    #[error("the bytes are damaged")]
    Damaged,
    /// The payload would be longer than any that is stored.
    #[error("the bytes claim a value of {bytes} bytes; that is more than they can hold or than is allowed")]
    TooLong {
        /// What they claim.
        bytes: usize,
    },
    /// The MAC is missing or wrong, or there is one and no secret.
    #[error("authentication failed")]
    NotAuthentic,
}

/// The header of an envelope of which only the beginning is at hand; unauthenticated. `None` if it is none, or longer.
#[cfg(any(feature = "lmdb", feature = "redis"))]
pub(crate) fn peek_header(beginning: &[u8]) -> Option<&[u8]> {
    let (_flags, rest) = beginning.strip_prefix(&MAGIC)?.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}

/// Does an envelope, of which the beginning is at hand, say that it is authenticated?
#[cfg(any(feature = "lmdb", feature = "redis"))]
pub(crate) fn is_authenticated(beginning: &[u8]) -> bool {
    beginning.strip_prefix(&MAGIC).and_then(<[u8]>::first).is_some_and(|flags| flags & AUTHENTICATED != 0)
}

/// Puts a payload into an envelope.
///
/// # Errors
/// [`TooLong`] for a payload of more than [`MAX_VALUE_BYTES`].
///
/// # Complexity
/// Linear in the payload; LZ4 compresses some hundred megabytes a second.
///
/// ```
/// use zoocache::codec::{Authentication, Secret, open, seal};
///
/// let secret = Secret::derive(b"a long random text");
/// let here = Authentication { secret: Some(&secret), context: b"product 42" };
/// let bytes = seal(b"header", &[7; 10_000], here)?;
/// assert!(bytes.len() < 200);
/// assert_eq!(open(&bytes, here).unwrap().payload, &[7; 10_000][..]);
///
/// let elsewhere = Authentication { context: b"product 43", ..here };
/// assert_eq!(open(&bytes, elsewhere).unwrap_err().to_string(), "authentication failed");
/// # Ok::<(), zoocache::codec::TooLong>(())
/// ```
pub fn seal(header: &[u8], payload: &[u8], authentication: Authentication<'_>) -> Result<Vec<u8>, TooLong> {
    if payload.len().max(header.len()) > MAX_VALUE_BYTES {
        return Err(TooLong { bytes: payload.len().max(header.len()) });
    }
    let compressed = (payload.len() > COMPRESS_ABOVE)
        .then(|| lz4_flex::block::compress(payload))
        .filter(|compressed| compressed.len() + 8 < payload.len() && may_become(compressed, payload.len()));
    let body = compressed.as_deref().unwrap_or(payload);
    let mut bytes = Vec::with_capacity(MAGIC.len() + 16 + header.len() + body.len() + MAC_BYTES);
    bytes.extend_from_slice(&MAGIC);
    let mut flags = 0;
    if compressed.is_some() {
        flags |= COMPRESSED;
    }
    if authentication.secret.is_some() {
        flags |= AUTHENTICATED;
    }
    bytes.push(flags);
    put_length(&mut bytes, header.len());
    bytes.extend_from_slice(header);
    if compressed.is_some() {
        put_length(&mut bytes, payload.len());
    }
    bytes.extend_from_slice(body);
    if let Some(secret) = authentication.secret {
        let mac = secret.mac(authentication.context, &bytes);
        bytes.extend_from_slice(mac.as_bytes());
    }
    Ok(bytes)
}

/// Opens an envelope.
///
/// # Errors
/// [`OpenError`]; also for an envelope with a MAC if no secret is given, and for one without if one is.
///
/// # Complexity
/// Linear in the payload, which is not copied unless it was compressed.
pub fn open<'a>(bytes: &'a [u8], authentication: Authentication<'_>) -> Result<Envelope<'a>, OpenError> {
    let (magic, rest) = bytes.split_first_chunk::<3>().ok_or(OpenError::NoEnvelope)?;
    if magic[..2] != MAGIC[..2] {
        return Err(OpenError::NoEnvelope);
    }
    let flags = *rest.first().ok_or(OpenError::Truncated)?;
    if *magic != MAGIC || flags & !(COMPRESSED | AUTHENTICATED) != 0 {
        return Err(OpenError::Version);
    }
    let end = check_mac(bytes, flags, authentication)?;
    let (header_bytes, rest) = length(bytes.get(MAGIC.len() + 1..end).unwrap_or_default())?;
    let (header, body) = rest.split_at_checked(header_bytes).ok_or(OpenError::Truncated)?;
    if flags & COMPRESSED == 0 {
        if body.len() > MAX_VALUE_BYTES {
            return Err(OpenError::TooLong { bytes: body.len() });
        }
        return Ok(Envelope { header, payload: Cow::Borrowed(body) });
    }
    let (size, body) = length(body)?;
    Ok(Envelope { header, payload: Cow::Owned(decompress(body, size)?) })
}

/// Checks the MAC, before anything else is believed; returns where what it covers ends.
fn check_mac(bytes: &[u8], flags: u8, authentication: Authentication<'_>) -> Result<usize, OpenError> {
    match (authentication.secret, flags & AUTHENTICATED != 0) {
        (None, false) => Ok(bytes.len()),
        (Some(secret), true) => {
            let end = bytes.len().saturating_sub(MAC_BYTES);
            if end <= MAGIC.len() {
                return Err(OpenError::NotAuthentic);
            }
            let (covered, mac) = bytes.split_at(end);
            // Comparing with a `Hash` takes the same time wherever they differ.
            let is_authentic = secret.mac(authentication.context, covered) == *mac;
            if is_authentic { Ok(end) } else { Err(OpenError::NotAuthentic) }
        }
        _ => Err(OpenError::NotAuthentic),
    }
}

fn decompress(body: &[u8], size: usize) -> Result<Vec<u8>, OpenError> {
    if size > MAX_VALUE_BYTES || !may_become(body, size) {
        return Err(OpenError::TooLong { bytes: size });
    }
    let payload = lz4_flex::block::decompress(body, size).map_err(|_| OpenError::Damaged)?;
    if payload.len() == size { Ok(payload) } else { Err(OpenError::Damaged) }
}

/// May a block be decompressed to so many bytes?
fn may_become(block: &[u8], size: usize) -> bool {
    let ratio = if size > LONG { MAX_LONG_RATIO } else { MAX_LZ4_RATIO };
    size <= block.len().saturating_mul(ratio)
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("invariant: checked against MAX_VALUE_BYTES");
    bytes.extend_from_slice(&length.to_le_bytes());
}

/// Reads a length; returns it and what follows.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), OpenError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(OpenError::Truncated)?;
    Ok((u32::from_le_bytes(*length) as usize, rest))
}
