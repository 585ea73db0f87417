//! Real processes on one LMDB folder, killed at random, against a small source of truth; then the recorded
//! history is checked against the promises.
//!
//! The source is a file of one version per tag. A value is the versions it was computed from. Every read,
//! invalidation and change is recorded with the monotonic time of its beginning and end, which all processes
//! of a machine share. Checked are P1 (and with restarts P4, on the own node P5), P2, P3, P8 and P9; P7 as far as
//! a fresh entry that is refused would show as a miss at the end.
//!
//! `ZOOCACHE_READS` (100 000), `ZOOCACHE_KILLS` (20), `ZOOCACHE_SEED` (random) and `ZOOCACHE_KEEP` (keeps the
//! folder) set the run. The program starts itself again for each worker.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;
use rustix::fs::{FlockOperation, flock};
use rustix::time::{ClockId, clock_gettime};
use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Cache, Error, Fill, Policy, Tag};

const WORKERS: usize = 8;
const THREADS: usize = 2;
const TAGS: usize = 8;
/// Leaves of one tag, sums of two leaves, and one list of all tags.
const KEYS: usize = 2 * TAGS + 1;
const ABSENT: u32 = u32::MAX;
const CHANGE: Duration = Duration::from_millis(300);
const RECORD_BYTES: usize = 96;

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// What is cached: the versions of the tags it was computed from, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    began_ns: u64,
    ended_ns: u64,
    versions: [u32; TAGS],
}

struct Bytes;

impl ValueCodec<Value> for Bytes {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&value.began_ns.to_le_bytes());
        bytes.extend_from_slice(&value.ended_ns.to_le_bytes());
        value.versions.iter().for_each(|version| bytes.extend_from_slice(&version.to_le_bytes()));
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        let number = |at: usize| -> Result<u64, CodecError> {
            Ok(u64::from_le_bytes(bytes.get(at..at + 8).ok_or("short")?.try_into()?))
        };
        let mut versions = [0; TAGS];
        for (version, chunk) in versions.iter_mut().zip(bytes.get(16..).ok_or("short")?.chunks_exact(4)) {
            *version = u32::from_le_bytes(chunk.try_into()?);
        }
        Ok(Value { began_ns: number(0)?, ended_ns: number(8)?, versions })
    }
}

/// The source of truth: a version per tag.
struct Truth(PathBuf);

impl Truth {
    fn read(&self, tag: usize) -> u32 {
        let mut bytes = [0; 4];
        let file = File::open(&self.0).expect("the source is there");
        file.read_exact_at(&mut bytes, tag as u64 * 4).expect("the source is complete");
        u32::from_le_bytes(bytes)
    }

    fn raise(&self, tag: usize) -> u32 {
        let file = File::options().read(true).write(true).open(&self.0).expect("the source is there");
        // A killed process lets go of it.
        flock(&file, FlockOperation::LockExclusive).expect("a local file");
        let version = self.read(tag) + 1;
        file.write_all_at(&version.to_le_bytes(), tag as u64 * 4).expect("the source can be written");
        version
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Hit = 1,
    Computed,
    /// From `to_ns` on nobody may get less than the version of the tag.
    Promised,
    /// A fresh entry that was read before was a miss, though nothing was invalidated any more.
    Refused,
    Overlapped,
    Error,
}

/// One line of history.
#[derive(Debug, Clone, Copy)]
struct Record {
    kind: u64,
    from_ns: u64,
    to_ns: u64,
    /// The key, or the tag.
    about: u64,
    version: u64,
    value: Value,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        let numbers = [self.kind, self.from_ns, self.to_ns, self.about, self.version, 0];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(Bytes.encode(&self.value).expect("a value has bytes"));
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let number = |place: usize| {
            u64::from_le_bytes(bytes[place * 8..place * 8 + 8].try_into().expect("eight bytes"))
        };
        let value = Bytes.decode(&bytes[48..]).expect("a value");
        Self {
            kind: number(0),
            from_ns: number(1),
            to_ns: number(2),
            about: number(3),
            version: number(4),
            value,
        }
    }
}

/// A worker process.
struct Worker {
    cache: Cache<Value>,
    truth: Truth,
    history: File,
    reads: AtomicU64,
    quota: u64,
    computing: [AtomicBool; KEYS],
}

impl Worker {
    fn record(&self, kind: Kind, (from_ns, about): (u64, usize), version: u32, value: Value) {
        let (version, to_ns) = (u64::from(version), now_ns());
        let record = Record { kind: kind as u64, from_ns, to_ns, about: about as u64, version, value };
        // One call, not buffered: what was recorded survives a kill.
        (&self.history).write_all(&record.bytes()).expect("the history can be written");
    }

    fn compute(&self, key: usize, fill: &Fill) -> Result<Value, Error> {
        if self.computing[key].swap(true, Ordering::SeqCst) {
            self.record(Kind::Overlapped, (now_ns(), key), 0, NO_VALUE);
        }
        let mut value = Value { began_ns: now_ns(), ..NO_VALUE };
        let mut depend = |tag: usize| {
            fill.depend_on_text(&format!("t:{tag}"))?;
            value.versions[tag] = self.truth.read(tag);
            Ok::<_, Error>(())
        };
        if key < TAGS {
            depend(key)?;
        } else if key < 2 * TAGS {
            for leaf in [key - TAGS, (key + 1) % TAGS] {
                let inner = self.fetch(leaf)?;
                value.versions[leaf] = inner.versions[leaf];
            }
        } else {
            fill.depend_on_text("t:*")?;
            (0..TAGS).for_each(|tag| value.versions[tag] = self.truth.read(tag));
        }
        value.ended_ns = now_ns();
        self.computing[key].store(false, Ordering::SeqCst);
        Ok(value)
    }

    fn fetch(&self, key: usize) -> Result<Value, Error> {
        self.cache.get_or_compute(name(key), &Policy::default(), |fill| self.compute(key, fill))
    }

    fn read(&self, key: usize) -> bool {
        let from_ns = now_ns();
        let hit = self.cache.get(name(key));
        let is_hit = hit.is_some();
        match hit.map_or_else(|| self.fetch(key), Ok) {
            Ok(value) => {
                let kind = if is_hit { Kind::Hit } else { Kind::Computed };
                self.record(kind, (from_ns, key), 0, value);
            }
            Err(error) => {
                eprintln!("read: {error}");
                self.record(Kind::Error, (from_ns, key), 0, NO_VALUE);
            }
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        is_hit
    }

    fn write(&self, tag: usize) {
        let from_ns = now_ns();
        let version = self.truth.raise(tag);
        match self.cache.invalidate(&[format!("t:{tag}")]) {
            Ok(_) => self.record(Kind::Promised, (from_ns, tag), version, NO_VALUE),
            Err(error) => {
                eprintln!("invalidate: {error}");
                self.record(Kind::Error, (from_ns, tag), 0, NO_VALUE);
            }
        }
    }

    fn change(&self, tag: usize) {
        let from_ns = now_ns();
        let mark = self.cache.change(&[tag_of(tag)], CHANGE).expect("the mark can be written");
        let version = self.truth.raise(tag);
        // The promise begins before the change is settled, and holds if it never is.
        if u128::from(now_ns() - from_ns) < CHANGE.as_nanos() {
            self.record(Kind::Promised, (from_ns, tag), version, NO_VALUE);
        }
        self.cache.settle(mark).expect("our own mark");
        self.record(Kind::Promised, (from_ns, tag), version, NO_VALUE);
    }

    fn run(&self, mut rng: Rng) {
        while self.reads.load(Ordering::SeqCst) < self.quota {
            match rng.u32(..1_000) {
                0..20 => self.write(rng.usize(..TAGS)),
                20..24 => self.change(rng.usize(..TAGS)),
                24 => _ = self.cache.sweep(),
                _ => _ = self.read(rng.usize(..KEYS).min(rng.usize(..KEYS))),
            }
        }
    }
}

const NO_VALUE: Value = Value { began_ns: 0, ended_ns: 0, versions: [ABSENT; TAGS] };

fn name(key: usize) -> String {
    format!("key:{key}")
}

fn tag_of(tag: usize) -> Tag {
    Tag::parse(format!("t:{tag}").as_str()).expect("a valid tag")
}

fn worker(arguments: &[String]) {
    let [folder, history, quota, seed] = arguments else { panic!("four arguments") };
    let folder = Path::new(folder);
    let cache = Cache::builder().lmdb(folder.join("cache"), Bytes).build().expect("the folder opens");
    let worker = Worker {
        cache,
        truth: Truth(folder.join("truth")),
        history: File::options().create(true).append(true).open(history).expect("can be made"),
        reads: AtomicU64::new(0),
        quota: quota.parse().expect("a number"),
        computing: Default::default(),
    };
    let seed: u64 = seed.parse().expect("a number");
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let worker = &worker;
            scope.spawn(move || worker.run(Rng::with_seed(seed * 2 + thread)));
        }
    });
}

/// After all others have ended: what is read twice is a hit.
fn last_look(folder: &Path, history: &Path) {
    let cache = Cache::builder().lmdb(folder.join("cache"), Bytes).build().expect("the folder opens");
    let worker = Worker {
        cache,
        truth: Truth(folder.join("truth")),
        history: File::options().create(true).append(true).open(history).expect("can be made"),
        reads: AtomicU64::new(0),
        quota: 0,
        computing: Default::default(),
    };
    for key in 0..KEYS {
        worker.read(key);
        if !worker.read(key) {
            worker.record(Kind::Refused, (now_ns(), key), 0, NO_VALUE);
        }
    }
}

struct Run {
    folder: PathBuf,
    seed: u64,
    reads: u64,
    kills: u64,
    histories: Mutex<Vec<PathBuf>>,
}

impl Run {
    fn start(&self, quota: u64) -> (Child, PathBuf) {
        let mut histories = self.histories.lock().expect("no panic");
        let history = self.folder.join(format!("history-{}", histories.len()));
        let seed = self.seed.wrapping_add(histories.len() as u64) % 1_000_000_007;
        histories.push(history.clone());
        let child = Command::new(std::env::current_exe().expect("a program"))
            .args(["worker", &self.folder.display().to_string(), &history.display().to_string()])
            .args([quota.to_string(), seed.to_string()])
            .spawn()
            .expect("a worker starts");
        (child, history)
    }

    /// Runs the workers to the end, killing some of them on the way.
    fn drive(&self) -> u64 {
        let mut rng = Rng::with_seed(self.seed);
        let quota = self.reads / WORKERS as u64 + 1;
        let mut workers: Vec<_> = (0..WORKERS).map(|_| (quota, self.start(quota))).collect();
        let (_never, pause) = channel::<()>();
        let mut killed = 0;
        while !workers.is_empty() {
            let _ = pause.recv_timeout(Duration::from_millis(rng.u64(10..80)));
            if killed < self.kills {
                let place = rng.usize(..workers.len());
                let (quota, (child, history)) = &mut workers[place];
                child.kill().expect("it is ours");
                child.wait().expect("it is ours");
                killed += 1;
                let done =
                    records(history).iter().filter(|record| record.kind <= Kind::Computed as u64).count();
                *quota = quota.saturating_sub(done as u64).max(1);
                (*child, *history) = self.start(*quota);
            }
            workers.retain_mut(|(_, (child, history))| match child.try_wait().expect("it is ours") {
                None => true,
                Some(status) => {
                    assert!(status.success(), "a worker failed: {status}, {}", history.display());
                    false
                }
            });
        }
        killed
    }
}

fn records(history: &Path) -> Vec<Record> {
    let bytes = fs::read(history).unwrap_or_default();
    bytes.chunks_exact(RECORD_BYTES).map(Record::read).collect()
}

/// What the checker found.
#[derive(Debug, Default)]
struct Verdict {
    reads: usize,
    hits: usize,
    promises: usize,
    stale: Vec<String>,
    backwards: Vec<String>,
    others: Vec<String>,
}

fn check(history: &[Record]) -> Verdict {
    let mut verdict = Verdict::default();
    // By tag: when it was promised, and the highest version promised until then.
    let mut promises: Vec<Vec<(u64, u32)>> = vec![Vec::new(); TAGS];
    for record in history.iter().filter(|record| record.kind == Kind::Promised as u64) {
        let version = u32::try_from(record.version).expect("a version");
        promises[usize::try_from(record.about).expect("a tag")].push((record.to_ns, version));
        verdict.promises += 1;
    }
    for promises in &mut promises {
        promises.sort_unstable();
        let mut highest = 0;
        for (_, version) in promises {
            highest = highest.max(*version);
            *version = highest;
        }
    }
    let mut hits: HashMap<u64, Vec<&Record>> = HashMap::new();
    for record in history {
        if record.kind > Kind::Computed as u64 {
            if record.kind != Kind::Promised as u64 {
                verdict.others.push(format!("{record:?}"));
            }
            continue;
        }
        verdict.reads += 1;
        if record.kind == Kind::Hit as u64 {
            verdict.hits += 1;
            hits.entry(record.about).or_default().push(record);
        }
        for (tag, version) in
            record.value.versions.iter().enumerate().filter(|(_, version)| **version != ABSENT)
        {
            let before = promises[tag].partition_point(|(at, _)| *at < record.from_ns);
            let need = before.checked_sub(1).map_or(0, |last| promises[tag][last].1);
            if *version < need {
                verdict.stale.push(format!("tag {tag} needs {need}: {record:?}"));
            }
        }
    }
    for mut hits in hits.into_values() {
        check_order(&mut hits, &mut verdict);
    }
    verdict
}

/// P2: no hit returns what was computed wholly before what an earlier hit returned.
fn check_order(hits: &mut [&Record], verdict: &mut Verdict) {
    let mut ended: Vec<(u64, u64)> = hits.iter().map(|hit| (hit.to_ns, hit.value.began_ns)).collect();
    ended.sort_unstable();
    hits.sort_unstable_by_key(|hit| hit.from_ns);
    let (mut next, mut latest) = (0, 0);
    for hit in hits {
        while next < ended.len() && ended[next].0 < hit.from_ns {
            latest = latest.max(ended[next].1);
            next += 1;
        }
        if hit.value.ended_ns < latest {
            verdict.backwards.push(format!("a hit had returned what was computed from {latest} on: {hit:?}"));
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

fn main() {
    assert_eq!(
        Record { kind: 0, from_ns: 0, to_ns: 0, about: 0, version: 0, value: NO_VALUE }.bytes().len(),
        96
    );
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "worker") {
        return worker(&arguments[1..]);
    }
    let seed = setting("ZOOCACHE_SEED", fastrand::u64(..1_000_000_007));
    let folder = std::env::temp_dir().join(format!("zoocache-processes-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    fs::write(folder.join("truth"), [0; TAGS * 4]).expect("can be written");
    let (reads, kills) = (setting("ZOOCACHE_READS", 100_000), setting("ZOOCACHE_KILLS", 20));
    println!("seed {seed}, folder {}", folder.display());
    let run = Run { folder, seed, reads, kills, histories: Mutex::default() };
    let from_ns = now_ns();
    let killed = run.drive();
    let last = run.folder.join("history-last");
    last_look(&run.folder, &last);
    let mut histories = run.histories.lock().expect("no panic").clone();
    histories.push(last);
    let history: Vec<Record> = histories.iter().flat_map(|history| records(history)).collect();
    let verdict = check(&history);
    let seconds = (now_ns() - from_ns) / 1_000_000_000;
    println!(
        "{} reads, {} hits, {} promises, {killed} kills, {seconds} s; stale reads: {}, backwards: {}, other: {}",
        verdict.reads,
        verdict.hits,
        verdict.promises,
        verdict.stale.len(),
        verdict.backwards.len(),
        verdict.others.len(),
    );
    for line in verdict.stale.iter().chain(&verdict.backwards).chain(&verdict.others).take(20) {
        println!("{line}");
    }
    let failed = verdict.stale.len() + verdict.backwards.len() + verdict.others.len() > 0;
    let vacuous = verdict.hits * 10 < verdict.reads * 3 || killed < kills;
    if failed || std::env::var_os("ZOOCACHE_KEEP").is_some() {
        println!(
            "the histories are kept in {}; ZOOCACHE_SEED={seed} repeats its choices",
            run.folder.display()
        );
    } else {
        fs::remove_dir_all(&run.folder).expect("can be removed");
    }
    assert!(!failed, "a promise was broken");
    assert!(!vacuous, "too few hits or kills to prove anything");
}
