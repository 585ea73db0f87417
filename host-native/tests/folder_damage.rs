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
    // The two that all begins with are damaged more often.
    let page = if noise.u8(..4) == 0 { noise.usize(0..2.min(pages)) } else { noise.usize(0..pages) };
    let how = match noise.u8(..14) {
        0..8 => damage_within(noise, &mut bytes[page * PAGE..(page + 1) * PAGE]),
        8..11 => replace_page(noise, &mut bytes, page),
        11 => {
            let length = noise.usize(0..bytes.len());
            bytes.truncate(if noise.bool() { length } else { length / PAGE * PAGE });
            "cut off, not at"
        }
        12 => {
            let mut more = vec![0; noise.usize(1..3 * PAGE)];
            noise.fill(&mut more);
            bytes.extend(more);
            "more after"
        }
        _ => {
            let mut garbage = vec![0; noise.usize(0..3) * noise.usize(0..50_000)];
            noise.fill(&mut garbage);
            fs::write(room.join("lock.mdb"), garbage).expect("can be written");
            "locks, not"
        }
    };
    let file = fs::File::options().write(true).open(&data).expect("there");
    file.write_all_at(&bytes, 0).expect("can be written");
    file.set_len(bytes.len() as u64).expect("can be cut");
    let room = room.file_name().unwrap_or_default().display();
    format!("{room}: {how} page {page} of {pages}, now {} bytes", bytes.len())
}

fn damage_within(noise: &mut Rng, page: &mut [u8]) -> &'static str {
    match noise.u8(..8) {
        0 => {
            let begin = noise.usize(0..PAGE);
            let end = (begin + noise.usize(1..64)).min(PAGE);
            noise.fill(&mut page[begin..end]);
            "noise in"
        }
        1..=4 => {
            page[noise.usize(0..PAGE)] ^= 1 << noise.u8(..8);
            "a bit of"
        }
        5 => {
            // The header, or the places of the first nodes.
            page[noise.usize(0..48)] ^= 1 << noise.u8(..8);
            "a bit of the beginning of"
        }
        6 => {
            (0..noise.u8(2..20)).for_each(|_| page[noise.usize(0..PAGE)] ^= 1 << noise.u8(..8));
            "bits of"
        }
        _ => {
            let begin = noise.usize(0..80) * 2;
            page[begin..begin + 2].copy_from_slice(&u16::from(noise.u8(..)).to_le_bytes());
            "a number of"
        }
    }
}

fn replace_page(noise: &mut Rng, bytes: &mut [u8], page: usize) -> &'static str {
    let (place, other) = (page * PAGE, noise.usize(0..bytes.len() / PAGE) * PAGE);
    let replaced = bytes[place..place + PAGE].to_vec();
    match noise.u8(..4) {
        0 => {
            bytes[place..place + PAGE].fill(0);
            "zeros instead of"
        }
        1 => {
            bytes.copy_within(other..other + PAGE, place);
            bytes[other..other + PAGE].copy_from_slice(&replaced);
            "another in exchange for"
        }
        2 => {
            bytes.copy_within(other..other + PAGE, place);
            "a copy instead of"
        }
        _ => {
            noise.fill(&mut bytes[place..place + PAGE]);
            "noise instead of"
        }
    }
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
