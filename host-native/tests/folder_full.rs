//! An LMDB folder on a disk that is full, or becomes read-only, and in a map that is too small: the program runs on
//! without the cache, gets right values, and nothing stale.
//!
//! Small file systems are mounted for that, which takes the rights of root. Where mounting is refused the tests
//! say so, and a limit on the size of files is what is left of them; it needs no rights.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::folder::Plain;
use common::{NOON_US, Scratch, Told, on, tag_of};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use zoocache::{Builder, Cache, Error, FolderError, Leader, ManualClock, WallClock};

/// A file system of its own, as long as it lives.
struct Mount {
    scratch: Scratch,
    path: PathBuf,
}

impl Mount {
    /// `None`, with a word to the reader, where nothing may be mounted.
    fn new(prepare: impl FnOnce(&Scratch) -> Vec<String>) -> Option<Self> {
        let scratch = Scratch::new();
        let path = scratch.path().join("disk");
        fs::create_dir(&path).expect("can be made");
        let arguments = prepare(&scratch);
        let mounted = Command::new("mount").args(&arguments).arg(&path).output();
        let refusal = match mounted {
            Ok(output) if output.status.success() => return Some(Self { scratch, path }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        println!("NOT TRIED on a disk of its own, mount {arguments:?}: {}", refusal.trim());
        None
    }

    fn tmpfs(bytes: u64) -> Option<Self> {
        Self::new(|_| ["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"].map(str::to_owned).to_vec())
    }

    /// In a file; it can become read-only while files are open.
    fn ext4() -> Option<Self> {
        Self::new(|scratch| {
            let image = scratch.path().join("image").display().to_string();
            let made = fs::File::create(&image).and_then(|file| file.set_len(16 << 20));
            made.expect("can be made");
            // If there is no such program, mounting says so.
            let _ = Command::new("mkfs.ext4").args(["-q", &image]).output();
            ["-o", "loop", &image].map(str::to_owned).to_vec()
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.path.as_os_str()]).status();
        let _ = self.scratch.path();
    }
}

fn builder(path: &Path) -> Builder<Vec<u8>> {
    Cache::builder().sweep_interval(Duration::from_hours(1)).lmdb(path, Plain)
}

/// Noise, which cannot be compressed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes];
    fastrand::Rng::with_seed(seed).fill(&mut value);
    value
}

/// Asks for entry `key`, which must be `seed`'s if it is computed, and is stored under two tags.
fn compute(cache: &Cache<Vec<u8>>, key: u64, seed: u64, bytes: usize) -> Vec<u8> {
    let policy = on(&[&format!("t:{}", key % 10), "all"]);
    let result = cache.get_or_compute(format!("{key}"), &policy, |_| Ok::<_, Error>(noise(seed, bytes)));
    result.expect("computing goes on whatever the disk does")
}

/// Writes until nothing more fits; what it wrote can be removed.
fn fill(path: &Path) -> PathBuf {
    let filler = path.join("filler");
    let mut file = fs::File::create(&filler).expect("can be made");
    for bytes in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![7; bytes]).is_ok() {}
    }
    filler
}

/// Frees what `fill` took. A process that another test starts may hold the file for a moment, so removing it would
/// free nothing until then.
fn make_room(filler: &Path) {
    fs::File::create(filler).expect("can be cut");
}

/// Uses two caches on a disk to which nothing can be written. Invalidations may fail; then this process knows of
/// them all the same.
fn invalidate_on_a_full_disk(one: &Cache<Vec<u8>>, two: &Cache<Vec<u8>>) {
    let mut failed = 0;
    for round in 0..400_u64 {
        let key = round % 10;
        let before = compute(one, key, 1_000 + round, 100);
        assert!(before.len() == 100 || before.len() == 3_000);
        let told = one.invalidate(&[format!("t:{key}"), format!("more:{round}")]);
        assert_eq!(one.get(format!("{key}")), None, "{round}: invalidated in this process");
        match told {
            Ok(_) => assert_eq!(two.get(format!("{key}")), None, "{round}: invalidated for all"),
            Err(error) => {
                failed += 1;
                assert!(matches!(error, Error::Folder(FolderError::Full { .. })), "{error}");
            }
        }
        assert_eq!(
            compute(one, key, 2_000 + round, 100),
            noise(2_000 + round, 100),
            "{round}: not the stale one"
        );
    }
    println!("{failed} of 400 invalidations could not be written");
}

#[test]
fn on_a_full_disk_the_program_computes_and_caches_again_when_there_is_room() {
    let Some(disk) = Mount::tmpfs(3 << 20) else { return };
    let folder = disk.path.join("folder");
    let told = Arc::new(Told::default());
    let one = builder(&folder).observer(told.clone()).build().expect("there is room");
    let two = builder(&folder).build().expect("there is room");
    for key in 0..2_000 {
        assert!(compute(&one, key, key, 3_000) == noise(key, 3_000), "{key}");
    }
    assert!(one.stats().entries > 100, "what is old made room: {:?}", one.stats());
    println!("filled by itself: {:?}, {} errors", one.stats(), told.take().len());
    let filler = fill(&disk.path);
    for key in 0..200 {
        let found = compute(&two, key, 5_000 + key, 30_000);
        assert!(found == noise(5_000 + key, 30_000) || found == noise(key, 3_000), "{key}");
    }
    invalidate_on_a_full_disk(&one, &two);
    told.take();
    make_room(&filler);
    for cache in [&one, &two] {
        assert!(compute(cache, 77_777, 1, 3_000) == noise(1, 3_000));
    }
    compute(&one, 88_888, 2, 3_000);
    assert!(two.get("88888") == Some(noise(2, 3_000)), "it caches again: {:?}", told.take());
    one.invalidate(&["all"]).expect("there is room");
    assert_eq!((one.get("88888"), two.get("88888")), (None, None));
    drop((one, two));
    let again = builder(&folder).observer(told.clone()).build().expect("opens");
    assert_eq!((again.get("88888"), told.take()), (None, vec![]), "a full disk damages nothing");
}

#[test]
fn a_full_disk_at_open_is_a_clear_error() {
    let Some(disk) = Mount::tmpfs(1 << 20) else { return };
    let filler = fill(&disk.path);
    let error = builder(&disk.path.join("folder")).build().map(drop).expect_err("no room");
    assert!(matches!(error, Error::Folder(FolderError::Full { .. })), "{error}");
    make_room(&filler);
    builder(&disk.path.join("folder")).build().expect("there is room");
}

#[test]
fn on_a_disk_that_becomes_read_only_the_program_computes() {
    let Some(disk) = Mount::ext4() else { return };
    let folder = disk.path.join("folder");
    let told = Arc::new(Told::default());
    let one = builder(&folder).observer(told.clone()).build().expect("can be written");
    let two = builder(&folder).observer(told.clone()).build().expect("can be written");
    for key in 0..50 {
        compute(&one, key, key, 3_000);
    }
    // What the kernel does after an error of the disk.
    let aborted =
        Command::new("mount").args(["-o".as_ref(), "remount,abort".as_ref(), disk.path.as_os_str()]).output();
    assert!(aborted.is_ok_and(|output| output.status.success()), "it was mounted, so it can be mounted anew");
    fs::write(disk.path.join("file"), "").expect_err("read-only");
    assert!(one.get("1") == Some(noise(1, 3_000)), "what is there can be read");
    for key in 0..100 {
        let found = compute(&two, key, 500 + key, 100);
        assert!(found == if key < 50 { noise(key, 3_000) } else { noise(500 + key, 100) });
    }
    for key in 0..10 {
        one.invalidate(&[format!("t:{key}")]).expect_err("it cannot be told to others");
        assert_eq!(one.get(format!("{key}")), None, "nothing stale is served here");
        assert!(compute(&one, key, 900 + key, 100) == noise(900 + key, 100));
    }
    assert!(!told.take().is_empty(), "it says what goes wrong");
    drop((one, two));
    let error = builder(&folder).build().map(drop).expect_err("read-only");
    assert!(matches!(error, Error::Folder(FolderError::Permission { .. })), "{error}");
    assert!(error.to_string().contains("Read-only file system"), "{error}");
}

#[test]
fn a_limited_process() {
    let Some(folder) = std::env::var_os("ZOOCACHE_LIMITED") else { return };
    let one = builder(Path::new(&folder)).build().expect("the files are small yet");
    let two = builder(Path::new(&folder)).build().expect("the files are small yet");
    for key in 0..1_000 {
        assert!(compute(&one, key, key, 3_000) == noise(key, 3_000), "{key}");
    }
    invalidate_on_a_full_disk(&one, &two);
    println!("limited: {:?}", one.stats());
}

#[test]
fn a_limit_of_file_sizes_is_a_full_disk() {
    // Half a megabyte.
    run_limited("ulimit -f 1024", "a_limited_process");
}

/// Runs a test in a process that is told when it writes too much, and not killed.
fn run_limited(limit: &str, test: &str) {
    let scratch = Scratch::new();
    let program = std::env::current_exe().expect("it runs");
    let script = format!("trap '' XFSZ; {limit}; exec \"$0\" --exact {test} --nocapture");
    let limited = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .env("ZOOCACHE_LIMITED", scratch.path().join("folder"))
        .output()
        .expect("there is a shell");
    let said =
        String::from_utf8_lossy(&limited.stdout).into_owned() + &String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.success() && said.contains("limited: "), "{said}");
}

/// Lets nothing be written meanwhile, by this process.
fn without_writes(work: impl FnOnce()) {
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: before.maximum }).expect("it is lowered");
    work();
    setrlimit(Resource::Fsize, before).expect("it was so before");
}

#[test]
fn a_process_with_a_clock_that_was_set_back() {
    let Some(folder) = std::env::var_os("ZOOCACHE_LIMITED") else { return };
    let clock = Arc::new(ManualClock::at(NOON_US));
    let cache = builder(Path::new(&folder)).clock(clock.clone()).build().expect("can be written");
    cache.invalidate(&["a"]).expect("can be written");
    clock.set_wall_us(NOON_US - 3_600_000_000);
    without_writes(|| {
        for tag in ["a", "b", "c"] {
            cache.invalidate(&[tag]).expect_err("it cannot be told to others");
        }
    });
    for round in 0..2 {
        let computed = cache.get_or_compute("k", &on(&["c"]), |_| Ok::<_, Error>(vec![round]));
        assert_eq!(computed.expect("a value"), [0], "what was invalidated is stored anew");
    }
    println!("limited: until others are told");
}

#[test]
fn what_could_not_be_told_when_the_clock_was_set_back_can_be_stored_anew() {
    run_limited("true", "a_process_with_a_clock_that_was_set_back");
}

#[test]
fn a_process_that_settles_too_late() {
    let Some(folder) = std::env::var_os("ZOOCACHE_LIMITED") else { return };
    let clock = Arc::new(ManualClock::at(NOON_US));
    let open = || builder(Path::new(&folder)).clock(clock.clone()).build().expect("can be written");
    let (one, two) = (open(), open());
    let mark = one.change(&[tag_of("a")], Duration::from_secs(1)).expect("can be written");
    clock.advance_ms(2_000);
    let store = |cache: &Cache<Vec<u8>>, value: u8| {
        cache.get_or_compute("k", &on(&["a"]), |_| Ok::<_, Error>(vec![value])).expect("a value")
    };
    assert_eq!((store(&two, 1), store(&one, 2)), (vec![1], vec![1]), "the mark is over");
    // Now the change is made.
    without_writes(|| {
        one.settle(mark).map(drop).expect_err("it cannot be told to others");
        assert_eq!(store(&one, 2), [2], "who made the change reads it");
    });
    assert_eq!(one.get("k"), None);
    assert_eq!(store(&two, 2), [2], "others are told as soon as they can be");
    println!("limited: for a moment");
}

#[test]
fn a_change_that_is_settled_too_late_on_a_full_disk_is_seen_by_who_made_it() {
    run_limited("true", "a_process_that_settles_too_late");
}

/// A clock that stands still; something happens at one of the looks at it.
#[derive(Default)]
struct Watched(Mutex<Watch>);

#[derive(Default)]
struct Watch {
    looks_left: usize,
    happens: Option<Box<dyn FnOnce() + Send>>,
}

impl WallClock for Watched {
    fn now_us(&self) -> u64 {
        let mut watch = self.0.lock().expect("no panic");
        let happens = if watch.looks_left == 0 { watch.happens.take() } else { None };
        watch.looks_left = watch.looks_left.saturating_sub(1);
        drop(watch);
        if let Some(happens) = happens {
            happens();
        }
        NOON_US
    }

    fn monotonic_ms(&self) -> u64 {
        1_000
    }
}

/// What a process does that may remove or replace what others hold; it is given a refresh that has begun.
type Way = fn(&Cache<Vec<u8>>, Leader<Vec<u8>>);

#[test]
fn a_process_whose_invalidation_fails_at_any_time() {
    let Some(folder) = std::env::var_os("ZOOCACHE_LIMITED") else { return };
    // A refresh, whose result depends on something else than the value before.
    let ways: [(&str, Way); 2] = [
        ("sweeps", |cache, _| _ = cache.sweep()),
        ("stores", |_, refresh| _ = refresh.finish(vec![2], None)),
    ];
    for (way, does) in ways {
        for looks in 0.. {
            let path = Path::new(&folder).with_file_name(format!("{way}{looks}"));
            let clock = Arc::new(Watched::default());
            let open = |clock| builder(&path).clock(clock).build().expect("can be written");
            let another = || open(Arc::new(ManualClock::at(NOON_US)));
            let (one, two) = (open(clock.clone()), another());
            // While a change is announced, the clock is looked at by whoever asks for news.
            one.change(&[tag_of("c")], Duration::from_hours(1)).expect("can be written");
            one.get_or_compute("k", &on(&["a"]), |_| Ok::<_, Error>(vec![1])).expect("a value");
            assert_eq!(two.get("k"), Some(vec![1]), "and from now on from its near cache");
            let refresh = one.lead_alone(b"k", None, false);
            refresh.declare(&on(&["b"]));
            let fails = one.clone();
            let invalidates = move || {
                without_writes(|| drop(fails.invalidate(&["a"]).expect_err("it cannot be told to others")));
            };
            *clock.0.lock().expect("no panic") =
                Watch { looks_left: looks, happens: Some(Box::new(invalidates)) };
            does(&one, refresh);
            if clock.0.lock().expect("no panic").happens.take().is_some() {
                println!("limited: {looks} looks at the clock while it {way}");
                break;
            }
            let computed = another().get_or_compute("k", &on(&["a"]), |_| Ok::<_, Error>(vec![3]));
            let newest = computed.expect("a value");
            assert_eq!(two.get("k"), Some(newest), "{way}, {looks}: not an older one than the other's");
            assert_ne!(one.get("k"), Some(vec![1]), "{way}, {looks}: invalidated for who did it");
        }
    }
}

#[test]
fn what_only_one_process_knows_to_be_invalid_is_not_replaced_without_a_word_to_others() {
    run_limited("true", "a_process_whose_invalidation_fails_at_any_time");
}

#[test]
fn a_small_map_evicts_and_says_what_does_not_fit() {
    let scratch = Scratch::new();
    let told = Arc::new(Told::default());
    let open = || builder(&scratch.path().join("folder")).map_bytes(2 << 20).observer(told.clone()).build();
    let one = open().expect("opens");
    for key in 0..3_000 {
        let bytes = [100, 3_000, 30_000][usize::try_from(key % 3).expect("small")];
        assert!(compute(&one, key, key, bytes) == noise(key, bytes), "{key}");
    }
    assert_eq!(told.take(), [""; 0]);
    assert!(one.get("2999") == Some(noise(2_999, 30_000)));
    assert!(one.stats().entries > 50, "{:?}", one.stats());
    // Almost all of the map.
    assert!(compute(&one, 10_000, 1, 800_000) == noise(1, 800_000));
    assert_eq!((told.take(), one.get("10000").map(|found| found.len())), (vec![], Some(800_000)));
    assert!(compute(&one, 10_001, 1, 3 << 20) == noise(1, 3 << 20));
    let said = told.take();
    assert!(
        said.len() == 1 && said[0].starts_with("LMDB storage is full") && said[0].contains("2097152"),
        "{said:?}"
    );
    assert_eq!(one.get("10001"), None);
    let file = fs::metadata(scratch.path().join("folder/entries/data.mdb")).expect("there");
    assert!(file.len() <= 2 << 20);
    drop(one);
    assert!(open().expect("opens").get("10000") == Some(noise(1, 800_000)));
    assert_eq!(told.take(), [""; 0]);
}

#[test]
fn a_map_without_room_for_anything_is_made_and_every_put_says_so() {
    let scratch = Scratch::new();
    let told = Arc::new(Told::default());
    let cache = builder(scratch.path()).map_bytes(1).observer(told.clone()).build().expect("opens");
    for key in 0..3 {
        assert!(!cache.put(format!("{key}"), vec![1], &on(&["a"])));
        let said = told.take();
        assert!(said.len() == 1 && said[0].contains("a map of 524288 bytes, and it has 1;"), "{said:?}");
        assert_eq!(cache.get(format!("{key}")), None);
    }
    let error = builder(scratch.path()).map_bytes(0).build().map(drop).expect_err("no size");
    assert!(matches!(error, Error::Config { parameter: "map_bytes", .. }), "{error}");
}
