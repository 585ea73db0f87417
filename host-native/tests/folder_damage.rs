//! Files of an LMDB folder that were damaged while nobody had it open: the cache is empty and says so, or serves
//! what is right; never what is wrong or was invalidated, and no process dies of it.
//!
//! What is right is known: each value is made of its key and version. A damaged file may lose anything. It may not
//! bring back an older commit either, though LMDB would read one: a damaged meta page lets it take the other, from
//! before the last invalidation. So `stale` and `replaced` are what the last commits of the two files are about.
//!
//! `ZOOCACHE_DAMAGES` (200) says how many are tried; `ZOOCACHE_SEED` (0) is the first, and lets all be told.

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::folder::{Master, ROOMS, Truth, open, read_all, work};
use fastrand::Rng;

const PAGE: usize = 4_096;

/// Damages a file in one of many ways; says in which.
fn damage(noise: &mut Rng, room: &Path) -> String {
    let data = room.join("data.mdb");
    let mut bytes = fs::read(&data).expect("there");
    let pages = bytes.len() / PAGE;
    if pages == 0 {
        return "cut off before".to_owned();
    }
    let page = if noise.u8(..4) == 0 { noise.usize(0..2) } else { noise.usize(0..pages) };
    let other = noise.usize(0..pages);
    let within = page * PAGE..(page + 1) * PAGE;
    let how = match noise.u8(..14) {
        0 => {
            let begin = within.start + noise.usize(0..PAGE);
            let end = (begin + noise.usize(1..64)).min(bytes.len());
            noise.fill(&mut bytes[begin..end]);
            "noise in"
        }
        1..=3 => {
            bytes[noise.usize(within)] ^= 1 << noise.u8(..8);
            "a bit of"
        }
        4 => {
            // The header, or the places of the first nodes.
            bytes[within.start + noise.usize(0..48)] ^= 1 << noise.u8(..8);
            "a bit of the beginning of"
        }
        5 => {
            (0..noise.u8(2..20)).for_each(|_| bytes[noise.usize(within.clone())] ^= 1 << noise.u8(..8));
            "bits of"
        }
        6 => {
            bytes[within].fill(0);
            "zeros instead of"
        }
        7 => {
            let (one, two) = (bytes[within.clone()].to_vec(), other * PAGE);
            bytes.copy_within(two..two + PAGE, within.start);
            bytes[two..two + PAGE].copy_from_slice(&one);
            "another instead of"
        }
        8 => {
            bytes.copy_within(other * PAGE..(other + 1) * PAGE, within.start);
            "a copy instead of"
        }
        9 => {
            bytes.truncate(
                noise.usize(0..bytes.len()) / [1, PAGE][noise.usize(..2)] * [1, PAGE][noise.usize(..2)],
            );
            "cut off, not at"
        }
        10 => {
            let length = noise.usize(1..3 * PAGE);
            bytes.extend(std::iter::repeat_with(|| noise.u8(..)).take(length));
            "more after"
        }
        11 => {
            noise.fill(&mut bytes[within]);
            "noise instead of"
        }
        12 => {
            let (begin, value) = (within.start + noise.usize(0..80) * 2, noise.u16(..));
            bytes[begin..begin + 2].copy_from_slice(&[0, value.to_le_bytes()[1]]);
            "a number of"
        }
        _ => {
            let length = noise.usize(0..3) * noise.usize(0..50_000);
            let garbage: Vec<u8> = std::iter::repeat_with(|| noise.u8(..)).take(length).collect();
            fs::write(room.join("lock.mdb"), garbage).expect("can be written");
            "locks, not"
        }
    };
    let file = fs::File::options().write(true).open(&data).expect("there");
    file.write_all_at(&bytes, 0).expect("can be written");
    file.set_len(bytes.len() as u64).expect("can be cut");
    let room = room.file_name().unwrap_or_default().display();
    format!("{room}: {how} page {page} of {pages}, {other}, {} bytes", bytes.len())
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_is_damaged_nothing_wrong_is_served_and_nobody_dies() {
    let master = Master::new();
    let whole = open(&master.restore()).expect("it is whole");
    assert_eq!(read_all(&whole.0, &master.truth, "undamaged"), master.truth.len());
    assert_eq!(whole.1.all(), [""; 0]);
    drop(whole);
    let first = number_from("ZOOCACHE_SEED");
    let count = number_from("ZOOCACHE_DAMAGES").unwrap_or(200);
    let (mut over, mut kept) = (0, 0);
    for seed in first.unwrap_or(0)..first.unwrap_or(0) + count {
        let folder = master.restore();
        let mut noise = Rng::with_seed(seed);
        let room = folder.join(ROOMS[noise.usize(..2)]);
        let mut what = format!("seed {seed}, {}", damage(&mut noise, &room));
        if noise.u8(..8) == 0 {
            what = format!("{what}, {}", damage(&mut noise, &folder.join(ROOMS[0])));
        }
        if first.is_some() {
            println!("{what}");
        }
        let (cache, told) = open(&folder).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut truth = master.truth.clone();
        let hits = read_all(&cache, &truth, &what);
        if told.all().is_empty() {
            kept += usize::from(hits > 0);
        } else {
            over += 1;
            assert_eq!(hits, 0, "{what}");
            truth.clear();
        }
        work(&cache, &mut truth, &what);
        read_all(&cache, &truth, &what);
        drop(cache);
        let (cache, told) = open(&folder).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(told.all(), [""; 0], "{what}: sound now");
        let hits = read_all(&cache, &truth, &what);
        assert!(hits > 50, "{what}: {hits} hits");
    }
    println!("{count} damages: {over} started over, {kept} served what was there");
    assert!(over > 0 && kept > 0, "both are tried");
}

#[test]
fn another_boot_begins_empty_without_a_warning() {
    for boot in ["5b2f4a1e-0000-4000-8000-000000000000\n0\n", "", "\u{fffd}"] {
        let master = Master::new();
        let folder = master.restore();
        fs::write(folder.join("boot"), boot).expect("can be written");
        let (cache, told) = open(&folder).expect("opens");
        assert_eq!((read_all(&cache, &Truth::new(), "boot"), cache.stats().entries), (0, 0));
        assert_eq!(told.all(), [""; 0]);
        work(&cache, &mut Truth::new(), "boot");
        assert!(fs::read(folder.join("boot")).expect("there") == master.boot, "it is noted");
    }
}

#[test]
fn files_that_are_missing_or_no_files_are_damage() {
    type Spoil = fn(&Path);
    let spoils: [Spoil; 4] = [
        |room| fs::remove_file(room.join("data.mdb")).expect("there"),
        |room| fs::remove_dir_all(room).expect("there"),
        |room| {
            fs::remove_file(room.join("data.mdb")).expect("there");
            fs::create_dir(room.join("data.mdb")).expect("can be made");
        },
        |room| {
            fs::remove_dir_all(room).expect("there");
            fs::write(room, "no folder").expect("can be written");
        },
    ];
    let master = Master::new();
    for room in ROOMS {
        for (place, spoil) in spoils.iter().enumerate() {
            let folder = master.restore();
            spoil(&folder.join(room));
            let (cache, told) = open(&folder).unwrap_or_else(|error| panic!("{room} {place}: {error}"));
            assert_eq!((read_all(&cache, &master.truth, room), told.all().len()), (0, 1), "{room} {place}");
            work(&cache, &mut Truth::new(), room);
        }
    }
}
