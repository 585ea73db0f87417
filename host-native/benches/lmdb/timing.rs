//! Times contenders in turn, in many short repetitions, so that a noisy moment hits all of them alike.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// How long to measure.
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of one contender in one round.
    pub(crate) repetition_ns: u64,
    /// Invalidations that another process reads after, of each kind.
    pub(crate) turns: u64,
    /// Entries of the folder whose size is measured.
    pub(crate) entries: u64,
    pub(crate) openings: usize,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { rounds: 101, repetition_ns: 2_000_000, turns: 3_000, entries: 100_000, openings: 9 };
    /// To see that it works.
    pub(crate) const QUICK: Self =
        Self { rounds: 11, repetition_ns: 500_000, turns: 200, entries: 5_000, openings: 3 };
}

/// Nanoseconds on a clock that all processes share and that never jumps.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
}

/// Nanoseconds per operation, one figure for each round.
pub(crate) struct Series(pub(crate) Vec<f64>);

impl Series {
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    pub(crate) fn minimum(&self) -> f64 {
        quantile(&self.0, 0.0)
    }

    pub(crate) fn p99(&self) -> f64 {
        quantile(&self.0, 0.99)
    }

    /// Median of the quotients of figures from the same round.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        let quotients: Vec<_> = self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect();
        quantile(&quotients, 0.5)
    }
}

fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index]
}

/// Does something as often as it is told, and says how many nanoseconds that took.
pub(crate) type Contender<'a> = Box<dyn FnMut(u64) -> u64 + 'a>;

/// Makes a contender of what is to be repeated.
pub(crate) fn contender<'a, T>(mut work: impl FnMut() -> T + 'a) -> Contender<'a> {
    Box::new(move |count| {
        let begin = now_ns();
        for _ in 0..count {
            black_box(work());
        }
        now_ns() - begin
    })
}

/// Times each contender once a round, in another order each time.
pub(crate) fn interleave<const N: usize>(mut contenders: [Contender<'_>; N], effort: &Effort) -> [Series; N] {
    let counts: Vec<_> = contenders.iter_mut().map(|run| calibrated(run, effort.repetition_ns)).collect();
    let mut random = fastrand::Rng::with_seed(0);
    let mut order: Vec<_> = (0..N).collect();
    let mut taken = [const { Vec::new() }; N];
    for _ in 0..effort.rounds {
        random.shuffle(&mut order);
        for &index in &order {
            taken[index].push(contenders[index](counts[index]) as f64 / counts[index] as f64);
        }
    }
    taken.map(Series)
}

fn calibrated(run: &mut Contender<'_>, repetition_ns: u64) -> u64 {
    let mut count = 1;
    loop {
        // The least of some: who is interrupted here would get rounds of a few operations, all of them cold.
        let taken = (0..3).map(|_| run(count)).min().unwrap_or(0).max(1);
        if taken >= repetition_ns / 4 {
            return (count * repetition_ns / taken).max(1);
        }
        count *= 2;
    }
}
