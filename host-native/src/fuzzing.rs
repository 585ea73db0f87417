//! What `fuzz/` needs of decoders that are not public. Nothing here is for users, nor keeps its shape.

pub use redis::Value;

pub use crate::server::fuzzing::{Looked, look, rewrite_row, rewrite_told};
pub use crate::storage::fuzzing::{Entry, peek_entry, read_entry, write_entry};
