//! The number of the latest commit, read from the file's two meta pages in two loads.
//!
//! `mdb_env_info` says the same after finding the environment, which must be let go of when the process forks;
//! a mapping of our own is inherited by a child and holds nothing up. Every hit asks, so it matters. LMDB
//! writes the two pages in turns, each with the number of its commit; the higher one counts. That the pages are
//! laid out as this file expects is checked against LMDB's own word at open.

use std::ffi::c_void;
use std::fs::File;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Where a meta page has the number: after the page's header (16 bytes), magic, version, address, map size (24),
/// two tables (96) and the last page (8).
const OFFSET: usize = 144;

/// The two meta pages of an environment.
pub(super) struct Number {
    base: NonNull<c_void>,
    page_bytes: usize,
}

#[expect(unsafe_code, reason = "a mapping is shared by all threads")]
// SAFETY: the mapping is only read, through atomics, until the last owner drops it.
unsafe impl Send for Number {}
#[expect(unsafe_code, reason = "a mapping is shared by all threads")]
// SAFETY: as for `Send`.
unsafe impl Sync for Number {}

impl Number {
    /// Maps the meta pages of a file that holds both.
    pub(super) fn of(path: &Path, page_bytes: usize) -> std::io::Result<Self> {
        let file = File::open(path)?;
        if page_bytes < OFFSET + 8 || file.metadata()?.len() < 2 * page_bytes as u64 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        #[expect(unsafe_code, reason = "the file has to be mapped")]
        // SAFETY: a new mapping at an address of the system's choice concerns no memory that is in use.
        let base = unsafe { mmap(null_mut(), 2 * page_bytes, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
        let base = NonNull::new(base).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(Self { base, page_bytes })
    }

    /// The number of the latest commit.
    #[inline]
    pub(super) fn read(&self) -> u64 {
        self.at(OFFSET).load(Ordering::Acquire).max(self.at(self.page_bytes + OFFSET).load(Ordering::Acquire))
    }

    #[inline]
    fn at(&self, offset: usize) -> &AtomicU64 {
        #[expect(unsafe_code, reason = "the file is mapped")]
        // SAFETY: both offsets lie within the mapping, which lives as long as `self`, and are multiples of 8 from
        // its page-aligned base. Others change the word through the file, as a whole, and nobody through this
        // mapping, which is read-only; loads of this size are allowed there.
        unsafe {
            self.base.cast::<AtomicU64>().byte_add(offset).as_ref()
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the file was mapped")]
        // SAFETY: this is the whole mapping that `of` made, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.base.as_ptr(), 2 * self.page_bytes) };
    }
}
