//! Words that two processes share: they tell each other what to do without sleeping.

use std::fs::File;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Looks before the processor is offered to others: few, as the other process may be waiting for this one.
const SPINS: u32 = 100;

/// What the two say to each other. Turns are numbers that grow.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Words {
    /// The turn that the reader is to prepare for, and its kind.
    pub(crate) turn: AtomicU64,
    pub(crate) kind: AtomicU64,
    /// The turn whose value the reader has read.
    pub(crate) warm: AtomicU64,
    /// The turn whose change is made, and when the call that made it returned.
    pub(crate) changed: AtomicU64,
    pub(crate) returned_ns: AtomicU64,
    /// The turn in which the reader has read after the change, when it began to read and had the answer, and how
    /// often it was wrong.
    pub(crate) answered: AtomicU64,
    pub(crate) began_ns: AtomicU64,
    pub(crate) answered_ns: AtomicU64,
    pub(crate) wrong: AtomicU64,
}

impl Words {
    /// Maps the words in a file, which is made if it is not there.
    pub(crate) fn map(path: &Path) -> &'static Self {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
        file.set_len(size_of::<Self>() as u64).unwrap();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        #[expect(unsafe_code, reason = "the file has to be mapped")]
        // SAFETY: a new mapping, at an address of the system's choice, which is never unmapped. It is aligned to a
        // page, as long as the words, which are atomics and valid whatever is in them.
        unsafe {
            let base = mmap(null_mut(), size_of::<Self>(), access, MapFlags::SHARED, &file, 0).unwrap();
            NonNull::new(base).unwrap().cast::<Self>().as_ref()
        }
    }
}

/// Waits until a word has a value; calls `patience` now and then.
pub(crate) fn wait_for(word: &AtomicU64, value: u64, mut patience: impl FnMut()) {
    loop {
        for _ in 0..SPINS {
            if word.load(Ordering::Acquire) == value {
                return;
            }
            std::hint::spin_loop();
        }
        patience();
        std::thread::yield_now();
    }
}
