//! Every bound of the engine, named, with its reason.
//!
//! What comes from outside (tags, headers, snapshots, messages) is checked against these before
//! anything is allocated for it. This module owns numbers only; who enforces one says so.

/// Characters in a tag, the `:*` of a subtree included: keeps a node's text small and a message bounded.
pub const MAX_TAG_CHARS: usize = 256;

/// Segments in a tag: every operation costs O(depth), so the depth is bounded.
pub const MAX_TAG_DEPTH: usize = 16;

/// Characters of a refused tag that an error repeats: a message stays readable and cheap.
pub const MAX_QUOTED_CHARS: usize = 48;

/// Bytes of a tag: no tag of [`MAX_TAG_CHARS`] characters is longer, so longer input is refused unread.
pub const MAX_TAG_BYTES: usize = MAX_TAG_CHARS * 4;

/// Dependencies of one entry: a list page may have many, but a header must be decodable in bounded memory.
pub const MAX_DEPENDENCIES: usize = 1 << 20;

/// Bytes of one encoded header: bounds what a decoder reads on behalf of one entry.
pub const MAX_HEADER_BYTES: usize = 64 << 20;

/// Entries up to which a collector of dependencies is scanned instead of hashed: scanning is faster there.
pub const SCANNED_DEPENDENCIES: usize = 16;

/// Epochs striped by the first two segments; one bit each in the mask of an entry.
#[cfg(not(loom))]
pub const STRIPES: usize = 64;
/// Epochs striped by the first two segments: few in the model checker, which pays for every atomic.
#[cfg(loom)]
pub const STRIPES: usize = 2;

/// Gossip messages remembered to tell duplicates, so many or up to twice as many: a duplicate that is older costs a computation, nothing else.
pub const MAX_REMEMBERED_MESSAGES: usize = 4096;

/// Invalidations kept for [`Engine::tail`](crate::Engine::tail): whoever is further behind begins anew.
pub const MAX_TAIL_MESSAGES: usize = 4096;

/// Tags in those, together: one message may have many.
pub const MAX_TAIL_TAGS: usize = 16_384;

/// Expired marks whose tags are kept for a late `settle`: a caller that never settles must not leak.
pub const MAX_EXPIRED_MARKS: usize = 4096;

/// Default bound on how far a remote clock may run ahead, in microseconds.
pub const DEFAULT_MAX_DRIFT_US: u64 = 500_000;

/// Rotation steps per created node: two look at more than one adds, so dead nodes stay in proportion.
pub const ROTATION_STEPS_PER_NODE: usize = 2;
