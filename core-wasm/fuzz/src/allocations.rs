//! Counts what is allocated: a length that was decoded must not decide how much that is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what it is asked for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    // Not counted while a thread ends.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get().saturating_add(bytes)));
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        // SAFETY: `pointer` comes from `alloc`, hence from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` comes from `alloc`, hence from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Calls `decode`, which must allocate no more than `most` bytes in all.
pub fn within<T>(most: usize, decode: impl FnOnce() -> T) -> T {
    let before = ALLOCATED.get();
    let decoded = decode();
    let allocated = ALLOCATED.get().saturating_sub(before);
    assert!(allocated <= most, "{allocated} bytes were allocated, {most} would do");
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_its_bound_passes() {
        assert_eq!(within(100, || vec![0_u8; 90]).len(), 90);
    }

    #[test]
    #[should_panic(expected = "bytes were allocated")]
    fn what_is_beyond_its_bound_fails() {
        within(100, || drop(vec![0_u8; 1_000]));
    }
}
