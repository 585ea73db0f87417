//! Processes that open an LMDB folder at once, are killed while they do, or may not.
//!
//! The program starts itself again: `a_process` does nothing unless it is told what to do.

mod common;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::folder::{Master, Plain, ROOMS, Truth, open, read_all, work};
use common::{Scratch, on, tag_of};
use zoocache::{Error, FolderError};

fn process(program: &Path, what: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "a_process", "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).env("ZOOCACHE_PROCESS", what).env("ZOOCACHE_FOLDER", folder);
    command
}

/// Lets some time go by, since what is to happen then is to happen at any time.
fn pause(time: Duration) {
    let (_never, wake) = std::sync::mpsc::channel::<()>();
    let _ = wake.recv_timeout(time);
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What another process does; says `told` for each time that it began empty.
#[test]
fn a_process() {
    let (Ok(what), Some(folder)) = (std::env::var("ZOOCACHE_PROCESS"), std::env::var_os("ZOOCACHE_FOLDER"))
    else {
        return;
    };
    let folder = Path::new(&folder);
    if let Some(seed) = what.strip_prefix("writes ") {
        return write_for_ever(folder, seed.parse().expect("a number"));
    }
    if what == "waits" {
        // All begin together.
        std::io::stdin().read_line(&mut String::new()).expect("a line");
    }
    match open(folder) {
        Ok((cache, told)) if what == "waits" => {
            told.all().iter().for_each(|cause| println!("told {cause}"));
            let found = cache.get("1");
            assert!(found.is_none_or(|found| found == common::folder::value("1", 1)));
            let computed = cache.get_or_compute("new", &on(&["n"]), |_| Ok::<_, Error>(vec![7]));
            assert_eq!(computed.expect("computes"), [7]);
            // Nobody closes before all have opened.
            std::io::stdin().read_line(&mut String::new()).expect("a line");
        }
        Ok((cache, told)) => println!("opened {} {:?}", cache.stats().entries, told.all()),
        Err(error) => println!("refused: {error}"),
    }
}

/// Writes whatever can be written, in a map so small that pages are used again and again, or in a large one.
fn write_for_ever(folder: &Path, seed: u64) {
    let mut noise = fastrand::Rng::with_seed(seed);
    let small = seed.is_multiple_of(2);
    let builder =
        zoocache::Cache::builder().lmdb(folder, Plain).map_bytes(if small { 1 << 20 } else { 1 << 30 });
    let cache = builder.build().expect("opens");
    loop {
        let key = format!("{}", noise.u32(0..300));
        let tags = on(&[&format!("t:{}", noise.u32(0..100)), &key]);
        match noise.u32(0..1_000) {
            0..600 => {
                let longest = *noise.choice(&[10, 100, 1_000, 3_000, 20_000, 100_000]).expect("some");
                let mut value = vec![0; noise.usize(0..longest)];
                noise.fill(&mut value);
                cache.put(&key, value, &tags);
            }
            600..750 => drop(cache.delete(&key)),
            750..980 => drop(cache.invalidate(&[format!("t:{}", noise.u32(0..3_000)), key])),
            980..990 => drop(cache.change(&[tag_of(&key)], Duration::from_secs(1))),
            990..998 => drop(cache.sweep()),
            _ => drop(cache.clear()),
        }
    }
}

/// That a sound file is not taken for a damaged one. `ZOOCACHE_KILLS` (30) processes are killed.
#[test]
fn whoever_is_killed_while_writing_leaves_a_sound_folder() {
    let scratch = Scratch::new();
    let program = std::env::current_exe().expect("it runs");
    let kills = std::env::var("ZOOCACHE_KILLS").map_or(30, |text| text.parse().expect("a number"));
    for round in 0..kills {
        let folder = scratch.path().join(format!("{}", round % 6));
        let start =
            |seed: u64| process(&program, &format!("writes {seed}"), &folder).spawn().expect("starts");
        // Of one folder one size of maps; sometimes two processes.
        let mut processes = vec![start(round)];
        if round % 3 == 0 {
            processes.push(start(round + 1_000_000));
        }
        pause(Duration::from_millis(30 + round * 37 % 170));
        for process in &mut processes {
            process.kill().expect("it was started here");
            process.wait().expect("it ends");
        }
        let (cache, told) = open(&folder).unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(told.all(), [""; 0], "{round}");
        assert_eq!(cache.stats().storage_errors, 0, "{round}");
    }
}

#[test]
fn of_processes_that_open_at_once_one_looks_after_the_folder() {
    let master = Master::new();
    let program = std::env::current_exe().expect("it runs");
    for is_damaged in [false, true, true] {
        let folder = master.restore();
        if is_damaged {
            let data = fs::File::options().write(true).open(folder.join("tags/data.mdb")).expect("there");
            data.write_all_at(&[0xA5; 100], 140).expect("can be written");
        }
        let start = || process(&program, "waits", &folder).spawn().expect("starts");
        let mut processes: Vec<_> = std::iter::repeat_with(start).take(8).collect();
        for _ in 0..2 {
            for process in &mut processes {
                process.stdin.as_mut().expect("piped").write_all(b"go\n").expect("it reads");
            }
        }
        let mut told = 0;
        for process in processes {
            let output = process.wait_with_output().expect("it ends");
            let said = said(&output);
            assert!(output.status.success(), "{said}");
            told += said.matches("told ").count();
        }
        // Who opens after all others have closed finds it sound.
        assert_eq!(told, usize::from(is_damaged));
        let (cache, told) = open(&folder).expect("opens");
        assert_eq!((cache.get("new"), told.all()), (Some(vec![7]), vec![]));
    }
}

#[test]
fn whoever_is_killed_while_opening_leaves_a_sound_folder() {
    let master = Master::new();
    let program = std::env::current_exe().expect("it runs");
    for round in 0..40_u64 {
        let folder =
            if round < 20 { master.restore() } else { master.scratch.path().join(format!("{round}")) };
        let mut process = process(&program, "opens", &folder).spawn().expect("starts");
        pause(Duration::from_micros(500 + round % 20 * 250));
        process.kill().expect("it was started here");
        process.wait().expect("it ends");
        let (cache, told) = open(&folder).unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(told.all(), [""; 0], "{round}");
        let mut truth = if round < 20 { master.truth.clone() } else { Truth::new() };
        assert_eq!(read_all(&cache, &truth, "killed"), truth.len(), "{round}");
        if round % 10 == 0 {
            work(&cache, &mut truth, "killed");
        }
    }
}

#[test]
fn what_is_in_use_is_not_started_over() {
    let master = Master::new();
    let folder = master.restore();
    let (cache, _) = open(&folder).expect("opens");
    // Another boot, it seems; but that it is in use shows that it is not.
    fs::write(folder.join("boot"), "another\n").expect("can be written");
    let program = std::env::current_exe().expect("it runs");
    let said = said(&process(&program, "opens", &folder).output().expect("runs"));
    assert!(said.contains(&format!("opened {} []", cache.stats().entries)), "{said}");
    assert_eq!(read_all(&cache, &master.truth, "in use"), master.truth.len());
    let data = fs::File::options().write(true).open(folder.join("entries/data.mdb")).expect("there");
    data.write_all_at(&[0xA5; 16], 16).expect("can be written");
    let said = self::said(&process(&program, "opens", &folder).output().expect("runs"));
    assert!(said.contains("is damaged") && said.contains("in use"), "{said}");
}

#[test]
fn a_folder_that_nobody_may_write_in_is_refused() {
    let scratch = Scratch::new();
    let program = scratch.path().join("program");
    // By another process: a process that another test starts meanwhile would inherit a file that is open for writing
    // here, and such a file cannot be run.
    let copied = Command::new("cp").arg(std::env::current_exe().expect("it runs")).arg(&program).status();
    assert!(copied.expect("runs").success());
    let folder = scratch.path().join("closed");
    fs::create_dir(&folder).expect("can be made");
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).expect("our own");
    let mut command = process(&program, "opens", &folder);
    if fs::metadata(&folder).expect("there").uid() == 0 {
        // Root may write anywhere; nobody may not.
        command.uid(65_534).gid(65_534);
    }
    let said = said(&command.output().expect("runs"));
    assert!(said.contains("refused: no permission to write in"), "{said}");
    assert!(said.contains("closed"), "{said}");
}

#[test]
fn what_is_no_folder_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "").expect("can be written");
    let error = open(&file).map(drop).expect_err("a file");
    assert!(
        matches!(&error, Error::Folder(FolderError::Failed { cause, .. }) if cause.contains("Not a directory")),
        "{error}"
    );
    let error = open(&scratch.path().join("no/such")).map(drop).expect_err("no parent");
    assert!(matches!(error, Error::Folder(FolderError::Missing { .. })), "{error}");
    let kept = scratch.path().join("folder");
    drop(open(&kept).expect("opens"));
    for room in ROOMS {
        assert!(kept.join(room).join("data.mdb").exists());
    }
}
