//! When does another process see an invalidation, and what does seeing it cost?

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use zoocache::{Cache, Policy, Tag};

use crate::caches::{Raw, Scratch, shared};
use crate::load::{Value, tag};
use crate::reader::{ITEM, Kind, after, before, value_of};
use crate::report::{Row, duration, figure};
use crate::timing::{Effort, Series, now_ns};
use crate::words::{Words, wait_for};

const RAW: &str = "raw heed, a row that was changed";

/// Nanoseconds by kind and turn: of the read, and from the return of the change to the answer.
#[derive(Default)]
struct Turns {
    reads: [Vec<f64>; 5],
    wholes: [Vec<f64>; 5],
    wrong: u64,
}

pub(crate) fn rows(effort: &Effort) -> Vec<Row> {
    let scratch = Scratch::new("visible");
    let changer = Changer::new(scratch.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--reader")
        .arg(scratch.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let Turns { reads, wholes, wrong } = changer.turns(&mut child, effort.turns);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let [busy, stale, fresh, unchanged, raw] = reads.map(Series);
    let [_, stale_whole, .., raw_whole] = wholes.map(Series);
    let invalidations = busy.0.len() + stale.0.len() + fresh.0.len();
    vec![
        Row {
            work: "another process reads after each `invalidate`: wrong answers".to_owned(),
            ours: format!("{wrong} in {invalidations} invalidations"),
            ..Row::default()
        }
        .goal("0", wrong == 0),
        compared("another process reads what was invalidated", &stale, (RAW, &raw)),
        compared("the same, while it reads without a pause", &busy, (RAW, &raw)),
        compared("the same, from the return of `invalidate`", &stale_whole, (RAW, &raw_whole)),
        compared(
            "another process reads after something else was invalidated",
            &fresh,
            ("nothing was", &unchanged),
        ),
    ]
}

fn compared(work: &str, ours: &Series, (name, baseline): (&str, &Series)) -> Row {
    let figure = |series: &Series| format!("{}, p99 {}", figure(series), duration(series.p99()));
    Row {
        ours: figure(ours),
        baseline: format!("{name}: {}", figure(baseline)),
        ..Row::of(work, ours, (name, baseline))
    }
}

/// The process that changes what the other one reads.
struct Changer {
    cache: Cache<Value>,
    raw: Raw,
    words: &'static Words,
    item: [Tag; 1],
    other: [Tag; 1],
}

impl Changer {
    fn new(folder: &Path) -> Self {
        Self {
            cache: shared(folder).build().unwrap(),
            raw: Raw::open(folder),
            words: Words::map(&folder.join("words")),
            item: [tag(1)],
            other: [tag(2)],
        }
    }

    /// Takes turns of all kinds, in another order each round.
    fn turns(&self, child: &mut Child, rounds: u64) -> Turns {
        let mut random = fastrand::Rng::with_seed(0);
        let (mut order, mut turns, mut turn) = (Kind::ALL, Turns::default(), 0);
        for _ in 0..rounds {
            random.shuffle(&mut order);
            for kind in order {
                turn += 1;
                self.take_turn(child, turn, kind);
                let words = self.words;
                let answered_ns = words.answered_ns.load(Relaxed);
                let since = |word: &AtomicU64| (answered_ns - word.load(Relaxed)) as f64;
                turns.reads[kind as usize].push(since(&words.began_ns));
                turns.wholes[kind as usize].push(since(&words.returned_ns));
                turns.wrong += words.wrong.load(Relaxed);
            }
        }
        turns
    }

    fn take_turn(&self, child: &mut Child, turn: u64, kind: Kind) {
        let words = self.words;
        let mut alive = || assert!(child.try_wait().unwrap().is_none(), "the reader died");
        if kind == Kind::Raw {
            self.raw.put_values([(ITEM, value_of(before(turn)))]);
        } else {
            let policy = Policy::default().with_tags(self.item.clone());
            assert!(self.cache.put(ITEM.to_le_bytes(), value_of(before(turn)).to_vec(), &policy));
        }
        words.kind.store(kind as u64, Relaxed);
        words.turn.store(turn, Release);
        wait_for(&words.warm, turn, &mut alive);
        match kind {
            Kind::Busy | Kind::Stale => self.invalidate(&self.item),
            Kind::Fresh => self.invalidate(&self.other),
            Kind::Unchanged => {}
            Kind::Raw => self.raw.put_values([(ITEM, value_of(after(turn)))]),
        }
        words.returned_ns.store(now_ns(), Relaxed);
        words.changed.store(turn, Release);
        wait_for(&words.answered, turn, &mut alive);
    }

    fn invalidate(&self, tags: &[Tag]) {
        self.cache.invalidate_tags(tags).unwrap();
    }
}
