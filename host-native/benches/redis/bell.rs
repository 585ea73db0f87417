//! How long after `invalidate` does another node stop serving what it held in memory?

use std::sync::atomic::{AtomicU64, Ordering};

use zoocache::Lookup;

use crate::load::{VALUE, policy, tag};
use crate::report::{Row, duration};
use crate::server::Server;
use crate::timing::{Effort, Series, now_ns};

const P50_GOAL_NS: f64 = 1_000_000.0;
const P99_GOAL_NS: f64 = 5_000_000.0;

pub(crate) fn rows(server: &Server, effort: &Effort) -> Vec<Row> {
    let writer = server.builder("bell").build().unwrap();
    let reader = server.builder("bell").build().unwrap();
    let (turn, stale) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut lags = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for expected in 1..=effort.turns {
                while turn.load(Ordering::Acquire) != expected {
                    std::thread::yield_now();
                }
                while matches!(reader.lookup(b"key"), Lookup::Hit(_)) {
                    std::thread::yield_now();
                }
                stale.store(now_ns(), Ordering::Release);
            }
        });
        for next in 1..=effort.turns {
            writer.put("key", VALUE.to_vec(), &policy(7));
            while !matches!(reader.lookup(b"key"), Lookup::Hit(_)) {
                std::thread::yield_now();
            }
            stale.store(0, Ordering::Release);
            turn.store(next, Ordering::Release);
            let began = now_ns();
            writer.invalidate_tags(&[tag(7)]).unwrap();
            let seen = loop {
                match stale.load(Ordering::Acquire) {
                    0 => std::thread::yield_now(),
                    seen => break seen,
                }
            };
            lags.push(seen.saturating_sub(began) as f64);
        }
    });
    let lags = Series(lags);
    let row = |work: &str, figure: f64, goal: &'static str, limit: f64| {
        Row { work: work.to_owned(), ours: duration(figure), ..Row::default() }.goal(goal, figure <= limit)
    };
    vec![
        row(
            "from the call of invalidate to stale on another node, p50",
            lags.median(),
            "<= 1 ms",
            P50_GOAL_NS,
        ),
        row("the same, p99", lags.p99(), "<= 5 ms", P99_GOAL_NS),
    ]
}
