//! A cache on the engine's component: the same answers as on the native engine, and what becomes of it when the
//! component fails. `./dev component` builds it.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{on, tag_of};
use fastrand::Rng;
use zoocache::component::ComponentEngine;
use zoocache::engine::{Engine, Proof, Sealing};
use zoocache::{Cache, Error, MarkId, Policy, WallClock};
use zoocache_core::{DomainId, Rejected, Timestamp, Verdict};

fn component() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/zoocache-engine.wasm");
    std::fs::read(path).expect("run `./dev component` first")
}

/// Time that goes on when it is told to.
struct Told(AtomicU64);

impl WallClock for Told {
    fn now_us(&self) -> u64 {
        1_700_000_000_000_000 + self.0.load(Ordering::Relaxed) * 1_000
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn cache(clock: &Arc<Told>, component: Option<&[u8]>) -> Cache<u64> {
    let clock: Arc<dyn WallClock> = Arc::<Told>::clone(clock);
    // It sweeps when it is told to.
    let builder = Cache::builder().clock(clock).sweep_interval(Duration::from_hours(1));
    let builder = match component {
        Some(bytes) => builder.component(bytes),
        None => builder,
    };
    builder.build().expect("the component is there")
}

/// What one step of a history gave.
fn step(cache: &Cache<u64>, rng: &mut Rng, marks: &mut Vec<MarkId>, number: u64) -> String {
    const TAGS: [&str; 8] = ["a", "a:b", "a:b:c", "a:b:d", "a:b:*", "e", "e:f:g", "e:*"];
    let tag = TAGS[rng.usize(..TAGS.len())];
    let name = format!("key:{}", rng.u8(..12));
    let policy = || on(&[tag]);
    match rng.u8(..14) {
        0..5 => {
            let inner = format!("inner:{}", rng.u8(..4));
            let other = TAGS[rng.usize(..TAGS.len())];
            let overtaken = rng.u8(..6) == 0;
            let value = cache.get_or_compute(&name, &policy(), |_| {
                let inner = cache.get_or_compute(&inner, &on(&[other]), |_| Ok::<_, Error>(number))?;
                if overtaken {
                    cache.invalidate(&[tag])?;
                }
                Ok::<_, Error>(inner * 1_000 + number)
            });
            format!("{value:?}")
        }
        5 | 6 => format!("{:?}", cache.get(&name)),
        7 => format!("{:?}", cache.put(&name, number, &policy().ttl(Duration::from_millis(rng.u64(1..50))))),
        8 => format!("{:?}", cache.delete(&name)),
        9 => format!("{:?}", cache.invalidate(&[tag])),
        10 => match cache.change(&[tag_of("e")], Duration::from_millis(rng.u64(1..30))) {
            Ok(mark) => {
                marks.push(mark);
                format!("{mark:?}")
            }
            Err(error) => format!("{error:?}"),
        },
        11 => marks.pop().map(|mark| format!("{:?}", cache.settle(mark))).unwrap_or_default(),
        12 => {
            let mut explained = cache.explain(&name);
            // Of a tag that was forgotten and comes back, more than the truth may be told.
            explained.dependencies.iter_mut().filter(|known| !known.stale).for_each(|known| known.latest = 0);
            format!("{explained:?} {:?}", cache.affected(&tag_of("a")))
        }
        _ => {
            cache.sweep();
            if rng.u8(..10) == 0 {
                return format!("{:?}", cache.clear());
            }
            String::new()
        }
    }
}

#[test]
fn a_cache_on_the_component_is_as_one_on_the_native_engine() {
    let bytes = component();
    for seed in 0..60 {
        let clock = Arc::new(Told(AtomicU64::new(0)));
        let caches = [cache(&clock, None), cache(&clock, Some(&bytes))];
        let mut rngs = [Rng::with_seed(seed), Rng::with_seed(seed)];
        let mut marks = [Vec::new(), Vec::new()];
        let mut fresh = 0;
        for number in 0..300 {
            clock.0.fetch_add(seed % 5, Ordering::Relaxed);
            let [native, component] =
                [0, 1].map(|place| step(&caches[place], &mut rngs[place], &mut marks[place], number));
            assert_eq!(native, component, "seed {seed}, step {number}");
            fresh += u32::from(native.starts_with("Some"));
        }
        let [native, component] = caches.map(|cache| cache.stats());
        let told = |stats: &zoocache::Stats| {
            (stats.hits, stats.misses, stats.stale, stats.computations, stats.born_stale)
        };
        assert_eq!(told(&native), told(&component), "seed {seed}");
        assert!(fresh > 0, "seed {seed}: nothing was found");
    }
}

fn seal_on(engine: &ComponentEngine, tag: &str, now_us: u64) -> Result<Proof, Rejected> {
    let begun = engine.begin(now_us);
    let dependencies = [engine.intern(&tag_of(tag))].into_iter().collect();
    engine.seal(begun, &Sealing { dependencies: &dependencies, as_of_bound: Timestamp::MAX, now_us })
}

#[test]
fn when_it_traps_everything_is_stale_and_it_goes_on() {
    let engine = ComponentEngine::with_memory(&component(), DomainId(1), 1, 2 << 20).expect("starts");
    let seal = |number: u64| seal_on(&engine, "a:b", number);
    let entry = seal(1).expect("fresh");
    assert_eq!(engine.judge(&entry), Verdict::Fresh);
    let mut last = engine.invalidate(&[tag_of("z")], 1_000).expect("positions are left");
    let mark = engine.change(&[tag_of("m")], u64::MAX, 1_000);
    // Nothing is forgotten that it might have to see.
    let _running = engine.begin(1_000);
    for number in 0..30_000_u64 {
        let tag = tag_of(&format!("t:{number}:{}", "x".repeat(200)));
        last = engine.invalidate(&[tag], 2_000).expect("positions are left");
        if engine.judge(&entry) != Verdict::Fresh {
            break;
        }
    }
    assert_eq!(engine.judge(&entry), Verdict::Foreign, "its memory is used up");
    assert!(!entry.is_proved(engine.signals()), "nor is it found proved without a call");
    let next = engine.change(&[tag_of("n")], u64::MAX, 2_000);
    assert_ne!(next, mark, "a number names one change");
    for announced in ["m", "n"] {
        assert!(matches!(seal_on(&engine, announced, 2), Err(Rejected::Pending(_))), "{announced}");
    }
    let settled = engine.settle(mark, 3).expect("is known");
    assert!(settled > last && engine.settle(mark, 3).is_err());
    assert!(seal_on(&engine, "m", 4).is_ok());
    assert!(seal_on(&engine, "n", 4).is_err(), "it stands until it is settled itself");
    last = settled;
    for _ in 0..3 {
        let at = engine.invalidate(&[tag_of("a")], 3).expect("positions are left");
        assert!(at > last, "positions go on rising");
        last = at;
        let entry = seal(4).expect("fresh");
        assert_eq!(engine.judge(&entry), Verdict::Fresh);
        assert!(entry.as_of() >= last);
    }
}

#[test]
fn what_is_no_component_is_refused() {
    let refused = Cache::<u64>::builder().component(b"\0asm".to_vec()).build().expect_err("no component");
    assert!(refused.to_string().contains("./dev component"), "{refused}");
    #[cfg(feature = "lmdb")]
    {
        let shared = Cache::builder().lmdb("nowhere", common::Number).component(component()).build();
        assert!(matches!(shared, Err(Error::Config { parameter: "component", .. })));
    }
    let _ = Policy::default();
}
