//! What a seed decides before a run begins: who takes part, what they do, and which faults there are.

use fastrand::Rng;

use crate::judge::Promised;
use crate::net::Weather;

/// Where entries and invalidations live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// In one process.
    Memory,
    /// Entries and invalidations on a server, with near caches.
    Redis,
    /// Entries in each process, invalidations on a server.
    Bus,
    /// Entries and invalidations in a folder of one machine, with near caches.
    Folder,
    /// Entries in each process and in a store, invalidations told from one to the other.
    Gossip,
}

/// Longer than any run, but for its end.
const HOUR_US: u64 = 3_600_000_000;

/// How one run is set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) ground: Ground,
    pub(crate) processes: usize,
    pub(crate) tasks: usize,
    /// Operations of each task.
    pub(crate) operations: u64,
    /// The keys that take part.
    pub(crate) keys: Vec<usize>,
    /// Of so many operations one changes something.
    pub(crate) reads_per_change: u64,
    /// A task pauses up to so long between operations, and a computation in between.
    pub(crate) think_ns: u64,
    pub(crate) compute_ns: u64,
    pub(crate) steps_per_switch: u32,
    pub(crate) max_entries: Option<u64>,
    pub(crate) delta_ns: Option<u64>,
    pub(crate) max_age_us: u64,
    /// How many entries a near cache holds, if that is said.
    pub(crate) near_entries: Option<u64>,
    /// Of so many steps in the folder a task waits for a while after one; 0 for none.
    pub(crate) one_in_waits: u64,
    /// Are some keys computed in one process at a time?
    pub(crate) has_locks: bool,
    pub(crate) weather: Weather,
    /// Faults of the ground, and of processes.
    pub(crate) faults: u64,
}

impl Ground {
    const ALL: [Self; 5] = [Self::Memory, Self::Folder, Self::Redis, Self::Bus, Self::Gossip];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Folder => "folder",
            Self::Redis => "redis",
            Self::Bus => "bus",
            Self::Gossip => "gossip",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|ground| ground.name() == name);
        found.ok_or_else(|| format!("there is no ground {name:?}; there are {known}"))
    }
}

impl Setup {
    /// What a seed decides, on the ground that is wanted, or its own.
    pub(crate) fn of(seed: u64, wanted: Option<Ground>) -> Self {
        let random = &mut Rng::with_seed(seed ^ 0x5eed);
        let own = [
            Ground::Memory,
            Ground::Redis,
            Ground::Redis,
            Ground::Bus,
            Ground::Folder,
            Ground::Folder,
            Ground::Gossip,
        ];
        let own = own[random.usize(..own.len())];
        let ground = wanted.unwrap_or(own);
        let (is_far, is_folder) = (ground != Ground::Memory, ground == Ground::Folder);
        let ages: &[u64] =
            if is_folder { &[50, 1_000, 5_000, HOUR_US] } else { &[60_000, 1_000_000, HOUR_US] };
        let keys = chosen(random, crate::keys::KEYS, 2);
        let one_of = |random: &mut Rng, choices: &[u64]| choices[random.usize(..choices.len())];
        Self {
            seed,
            ground,
            processes: if is_far { random.usize(2..=4) } else { 1 },
            tasks: random.usize(if is_far { 1..=2 } else { 2..=4 }),
            operations: random.u64(20..=60),
            keys,
            reads_per_change: one_of(random, &[2, 4, 10]),
            think_ns: one_of(random, &[0, 5_000, 100_000, 5_000_000]),
            compute_ns: one_of(random, &[0, 2_000, 20_000, 500_000]),
            steps_per_switch: u32::try_from(one_of(random, &[2, 8, 40, 200])).unwrap_or(8),
            max_entries: (random.u8(..8) == 0).then(|| random.u64(1..=3)),
            delta_ns: (is_far && !is_folder && random.u8(..3) > 0)
                .then(|| one_of(random, &[30_000_000, 200_000_000, 1_000_000_000])),
            max_age_us: one_of(random, ages),
            near_entries: (is_folder && random.u8(..4) == 0).then(|| random.u64(..=2)),
            one_in_waits: if is_folder { one_of(random, &[0, 20, 100, 500]) } else { 0 },
            has_locks: is_folder && random.u8(..3) == 0,
            weather: Weather {
                delay_ns: one_of(random, &[1_000, 50_000, 1_000_000, 20_000_000]),
                one_in_fails: one_of(random, &[0, 0, 20, 100]),
                one_in_lost: one_of(random, &[0, 0, 3, 20]),
            },
            faults: if random.u8(..4) == 0 { 0 } else { random.u64(1..=if is_far { 10 } else { 4 }) },
        }
    }

    pub(crate) fn promised(&self) -> Promised {
        let is_alone = self.ground == Ground::Memory;
        // What has been forgotten below may live on in a near cache.
        let is_shared = match self.ground {
            Ground::Memory | Ground::Bus | Ground::Gossip => false,
            Ground::Redis => self.delta_ns.is_none(),
            Ground::Folder => self.max_entries.is_none(),
        };
        let is_shared = is_shared && self.max_age_us >= HOUR_US;
        let is_kept = is_alone && self.max_entries.is_none();
        // Of a row that is evicted nobody knows who else holds it.
        let is_monotonic = self.ground != Ground::Folder || self.max_entries.is_none();
        let life_ns = (self.ground == Ground::Redis).then_some(self.max_age_us * 1_000);
        Promised { delta_ns: self.delta_ns, is_shared, is_monotonic, is_alone, is_kept, life_ns }
    }
}

/// Some of so many, at least `at_least`.
fn chosen(random: &mut Rng, many: usize, at_least: usize) -> Vec<usize> {
    let mut all: Vec<_> = (0..many).collect();
    random.shuffle(&mut all);
    all.truncate(random.usize(at_least..=many));
    all.sort_unstable();
    all
}
