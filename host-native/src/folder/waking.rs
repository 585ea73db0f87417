//! Wakes who waits for a mutex of LMDB and would sleep for ever.
//!
//! Every transaction begins under one of two mutexes in shared memory. Who unlocks one that others wait for frees its
//! word and wakes one of them. If that one is killed before it runs, and somebody else has taken the word in between,
//! nothing says any more that others wait: they sleep on, beside a mutex that is free, until two threads happen to meet
//! there again. Neither the C library nor the kernel notices.
//!
//! So who finds a mutex taken has a thread look after it, which wakes one who waits for each, of whatever process, every
//! [`TICK`]. Who was woken in vain sleeps again; who was forgotten goes on, and wakes the next one when it is done. The
//! thread ends when nobody has met anybody for a while. Who found a mutex free that was taken in the next moment is
//! woken by the threads of others, at the latest by a sweeper.

use std::ffi::c_void;
use std::fs;
use std::path::Path;
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::mm::{MremapFlags, mremap, munmap};
use rustix::thread::futex;

use crate::clock::pause;

/// How long somebody sleeps in vain, at most.
const TICK: Duration = Duration::from_millis(100);
/// So many ticks in which nobody met anybody end the thread.
const QUIET_TICKS: u32 = 10;
/// What is looked at of the file of locks; the table of readers comes after it.
const BYTES: usize = 256;
/// Where a mutex has the word that says which thread holds it.
const WORD: usize = if cfg!(target_env = "musl") { 4 } else { 0 };
/// After two numbers, the number of the latest commit, and how many readers there have been.
const READERS: usize = (8 + size_of::<usize>() + 4).next_multiple_of(size_of::<usize>()) + WORD;
/// In the cache line after the one that the other mutex ends in, which is longer on some systems.
const WRITER: usize = WORD + if cfg!(all(target_arch = "aarch64", target_env = "gnu")) { 128 } else { 64 };
/// The part of the word that is the number of a thread.
const HOLDER: u32 = 0x3FFF_FFFF;

/// Which of the two mutexes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mutex {
    /// Held while a reader takes a place in the table of readers.
    Readers,
    /// Held for as long as a write transaction.
    Writer,
}

/// The mutexes of one environment. Without them, where they cannot be found, nobody is woken.
pub(super) struct Waking(Option<Arc<Watch>>);

struct Watch {
    words: Words,
    /// Threads of this process that found a mutex taken and do not have it yet.
    waiting: AtomicUsize,
    /// Has anybody found one taken since the last tick?
    is_busy: AtomicBool,
    runs: AtomicBool,
}

impl Waking {
    /// The mutexes of the environment in a folder that this process has opened. The path is without links.
    pub(super) fn of(room: &Path) -> Self {
        Self(Words::of(&room.join("lock.mdb")).map(|words| {
            let (waiting, is_busy, runs) = Default::default();
            Arc::new(Watch { words, waiting, is_busy, runs })
        }))
    }

    /// Runs what takes a mutex.
    #[inline]
    pub(super) fn during<R>(&self, mutex: Mutex, take: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(watch) if watch.words.are_taken(mutex) => watch.during(take),
            _ => take(),
        }
    }

    /// Wakes one who waits for each mutex, if anybody does.
    pub(super) fn wake(&self) {
        if let Some(watch) = &self.0 {
            watch.words.wake();
        }
    }
}

impl Watch {
    #[cold]
    fn during<R>(self: &Arc<Self>, take: impl FnOnce() -> R) -> R {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.is_busy.store(true, Ordering::Relaxed);
        // After it was counted: a thread that is about to end says so before it looks at the count.
        if !self.runs.load(Ordering::SeqCst) && !self.runs.swap(true, Ordering::SeqCst) {
            let watch = Arc::clone(self);
            let thread = std::thread::Builder::new().name("zoocache-wake".to_owned());
            if thread.spawn(move || watch.run()).is_err() {
                // No more threads are allowed: those of others will do.
                self.runs.store(false, Ordering::SeqCst);
            }
        }
        let taken = take();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        taken
    }

    fn run(&self) {
        let mut quiet = 0;
        loop {
            pause(TICK);
            self.words.wake();
            quiet = if self.is_busy.swap(false, Ordering::Relaxed) { 0 } else { quiet + 1 };
            if quiet < QUIET_TICKS || self.waiting.load(Ordering::SeqCst) > 0 {
                continue;
            }
            self.runs.store(false, Ordering::SeqCst);
            if self.waiting.load(Ordering::SeqCst) == 0 || self.runs.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// The beginning of LMDB's file of locks: its pages once more, in a mapping of our own.
struct Words(NonNull<c_void>);

#[expect(unsafe_code, reason = "a mapping is shared by all threads")]
// SAFETY: the mapping is used through atomics only, until the last owner drops it.
unsafe impl Send for Words {}
#[expect(unsafe_code, reason = "a mapping is shared by all threads")]
// SAFETY: as for `Send`.
unsafe impl Sync for Words {}

impl Words {
    /// The file is not opened: closing it would let go of the locks that LMDB has on it, whoever opened it. So LMDB's
    /// own mapping is found and doubled.
    fn of(file: &Path) -> Option<Self> {
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        let mapped = maps.lines().find_map(|line| start_of(line, file))?;
        #[expect(unsafe_code, reason = "a mapping is doubled")]
        // SAFETY: with an old size of 0 a shared mapping stays as it is, and its pages get a second one at an address of
        // the system's choice; if there is none that is shared, it fails.
        let doubled = unsafe { mremap(without_provenance_mut(mapped), 0, BYTES, MremapFlags::MAYMOVE) };
        NonNull::new(doubled.ok()?).map(Self)
    }

    #[inline]
    fn are_taken(&self, mutex: Mutex) -> bool {
        self.at(mutex).load(Ordering::Relaxed) & HOLDER != 0
    }

    /// One of those who wait for each is enough: it takes the mutex as one that others wait for.
    fn wake(&self) {
        for mutex in [Mutex::Readers, Mutex::Writer] {
            // An error would say that there is no such address.
            let _ = futex::wake(self.at(mutex), futex::Flags::empty(), 1);
        }
    }

    #[inline]
    fn at(&self, mutex: Mutex) -> &AtomicU32 {
        let place = match mutex {
            Mutex::Readers => READERS,
            Mutex::Writer => WRITER,
        };
        #[expect(unsafe_code, reason = "the file is mapped")]
        // SAFETY: the offsets lie within the mapping, which lives as long as `self`, and are multiples of 4 from its
        // page-aligned base. Whoever changes the word does it atomically and as a whole.
        unsafe {
            self.0.cast::<AtomicU32>().byte_add(place).as_ref()
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the file was mapped")]
        // SAFETY: this is the whole mapping that `of` made, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.0.as_ptr(), BYTES) };
    }
}

/// Where a mapping begins, if a line of `/proc/self/maps` tells of one of the file's beginning:
/// `7f52c0a00000-7f52c0a02000 rw-s 00000000 fe:00 1234   /path`.
fn start_of(line: &str, file: &Path) -> Option<usize> {
    let mut fields = line.splitn(6, ' ');
    let (range, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let path = fields.nth(2)?.trim_start();
    if !rights.ends_with('s') || !offset.trim_start_matches('0').is_empty() || Path::new(path) != file {
        return None;
    }
    usize::from_str_radix(range.split('-').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rustix::thread::gettid;

    use super::super::room::Room;
    use super::*;

    /// The kernel's bit for it.
    const WAITERS: u32 = 1 << 31;
    const DEADLINE: Duration = Duration::from_secs(20);

    fn own_thread() -> u32 {
        gettid().as_raw_nonzero().get().cast_unsigned()
    }

    fn sleeps(thread: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("it runs");
        stat.rsplit_once(')').expect("fields").1.trim_start().starts_with('S')
    }

    fn until(is_so: impl Fn() -> bool) {
        let mut left_ms = DEADLINE.as_millis();
        while !is_so() {
            left_ms = left_ms.checked_sub(1).expect("in time");
            pause(Duration::from_millis(1));
        }
    }

    fn with_room(name: &str, test: impl FnOnce(&Room)) {
        let folder = std::env::temp_dir().canonicalize().expect("there is one");
        let path = folder.join(format!("zoocache-waking-{name}-{}", std::process::id()));
        test(&Room::open(&path, &["table"], 8, None).expect("opens"));
        fs::remove_dir_all(path).expect("can be removed");
    }

    /// Somebody has the mutex, another one waits for it. Then it is free, and nobody was told: as after a kill.
    fn is_woken(room: &Room, mutex: Mutex, take: impl Fn() + Sync) {
        let watch = room.waking.0.as_ref().expect("the mutexes are found");
        let word = watch.words.at(mutex);
        word.store(own_thread(), Ordering::SeqCst);
        std::thread::scope(|scope| {
            let (say, hear) = channel();
            let take = &take;
            scope.spawn(move || {
                say.send(own_thread()).expect("it is heard");
                take();
                say.send(0).expect("it is heard");
            });
            let other = hear.recv().expect("it was said");
            until(|| word.load(Ordering::SeqCst) & WAITERS != 0 && sleeps(other));
            word.store(0, Ordering::SeqCst);
            let end = hear.recv_timeout(DEADLINE);
            // Or this would not end either.
            watch.words.wake();
            end.expect("it was woken");
        });
        until(|| !watch.runs.load(Ordering::SeqCst));
    }

    #[test]
    fn a_reader_that_was_forgotten_is_woken() {
        with_room("readers", |room| {
            is_woken(room, Mutex::Readers, || room.read(|_| Ok(())).expect("reads"));
        });
    }

    #[test]
    fn a_writer_that_was_forgotten_is_woken() {
        with_room("writer", |room| {
            is_woken(room, Mutex::Writer, || room.write(|_| Ok(())).expect("writes"));
        });
    }

    #[test]
    fn who_meets_nobody_needs_no_thread() {
        with_room("nobody", |room| {
            let watch = room.waking.0.as_ref().expect("the mutexes are found");
            let word = watch.words.at(Mutex::Writer);
            let holder = room.write(|_| Ok(word.load(Ordering::SeqCst) & HOLDER));
            assert_eq!(holder.expect("writes"), own_thread());
            room.read(|_| Ok(())).expect("reads");
            assert!(!watch.runs.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn a_mapping_is_known_by_its_path_and_its_beginning() {
        let file = Path::new("/a b/lock.mdb");
        let line = "7f52c0a00000-7f52c0a02000 rw-s 00000000 fe:00 1234                       /a b/lock.mdb";
        assert_eq!(start_of(line, file), Some(0x7f52_c0a0_0000));
        for (word, other) in [("rw-s", "rw-p"), ("00000000", "00001000"), ("a b", "a c"), (" /", " [heap]")] {
            assert_eq!(start_of(&line.replace(word, other), file), None, "{other}");
        }
        assert_eq!(start_of("7f52c0a00000-7f52c0a02000 rw-p 00000000 00:00 0 ", file), None);
    }
}
