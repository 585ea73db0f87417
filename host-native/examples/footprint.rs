//! How many bytes does an entry cost beside its key and value, and how many a tag?
//!
//! `cargo run --release --example footprint`: counts what is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use zoocache::{Cache, Error, Policy, Tag};

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting what it is asked for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `pointer` comes from `alloc`, hence from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that `fill` leaves allocated, for each of `number`.
fn bytes_for_each(number: u64, fill: impl FnOnce()) -> u64 {
    let before = ALLOCATED.load(Ordering::Relaxed);
    fill();
    (ALLOCATED.load(Ordering::Relaxed) - before) as u64 / number
}

fn main() -> Result<(), Error> {
    for number in [10_000_u64, 100_000, 1_000_000] {
        let tags: Vec<Tag> =
            (0..1_000).map(|tag| Tag::parse(&format!("store:{tag}"))).collect::<Result<_, _>>()?;
        let cache = Cache::<u64>::builder().build()?;
        for tag in &tags {
            cache.put("warm", 0, &Policy::default().with_tags([tag.clone()]));
        }
        let entry = bytes_for_each(number, || {
            for (key, tag) in (0..number).zip(tags.iter().cycle()) {
                cache.put(key.to_le_bytes(), key, &Policy::default().with_tags([tag.clone()]));
            }
        });
        let key_and_value = 8 + 8;
        println!("{number:8} entries: {} bytes each without key and value", entry - key_and_value);

        let cache = Cache::<u64>::builder().build()?;
        let all: Result<Vec<Tag>, _> = (0..number).map(|tag| Tag::parse(&format!("s:{tag}"))).collect();
        let policy = Policy::default().with_tags(all?);
        let node = bytes_for_each(number, || _ = cache.put("k", 0, &policy));
        // An entry holds one step of 16 bytes for each of its dependencies, which is not the node's.
        println!("{number:8} tags:    {node} bytes each, of which 16 are the entry's");
    }
    Ok(())
}
