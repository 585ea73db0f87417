//! Does eviction keep what is worth keeping? Hit ratios beside those of `quick_cache` alone.
//!
//! `cargo run --release --example hit_ratio`

use std::sync::Arc;

use zoocache::{Cache, Error, Policy};

const ROOM: u64 = 10_000;
const KEYS: usize = 100_000;
const READS: usize = 2_000_000;

/// A small generator of random numbers between 0 and 1.
struct Dice(u64);

impl Dice {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are as many as a double has")]
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Keys by Zipf's law with exponent 1; with `scan`, every tenth read is part of a walk over other keys.
fn trace(scan: bool) -> Vec<u64> {
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += 1.0 / f64::from(u32::try_from(rank).unwrap_or(u32::MAX));
            sum
        })
        .collect();
    let mut dice = Dice(88_172_645_463_325_252);
    (0..READS)
        .map(|read| {
            if scan && read % 10 == 0 {
                return (KEYS + read) as u64;
            }
            let roll = dice.roll() * sum;
            cumulated.partition_point(|up_to| *up_to < roll) as u64
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn percent(hits: u64) -> f64 {
    hits as f64 * 100.0 / READS as f64
}

fn main() -> Result<(), Error> {
    for (name, trace) in [("zipf", trace(false)), ("zipf and scan", trace(true))] {
        let cache = Cache::<u64>::builder().max_entries(ROOM).build()?;
        let policy = Policy::default().tag("org:1")?;
        for key in &trace {
            cache.get_or_compute(key.to_le_bytes(), &policy, |_| Ok::<_, Error>(*key))?;
        }
        let ours = percent(cache.stats().hits);

        let quick = quick_cache::sync::Cache::<Box<[u8]>, Arc<u64>>::new(10_000);
        let mut hits = 0;
        for key in &trace {
            match quick.get(&key.to_le_bytes()[..]) {
                Some(_) => hits += 1,
                None => quick.insert(Box::from(key.to_le_bytes()), Arc::new(*key)),
            }
        }
        let theirs = percent(hits);
        println!("{name:14} zoocache {ours:.2} %, quick_cache {theirs:.2} %: {:+.2} points", ours - theirs);
    }
    Ok(())
}
