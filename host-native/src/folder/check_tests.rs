//! Bytes of all kinds given to the check of a file.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use heed::EnvOpenOptions;
use heed::types::Bytes;

use super::check::{Flaw, State, check};

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file with trees of three levels, long rows and free pages.
fn file() -> (Scratch, Vec<u8>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let path = std::env::temp_dir().join(format!("zoocache-check-{}-{count}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).expect("the temporary folder can be written");
    let scratch = Scratch(path);
    let mut options = EnvOpenOptions::new();
    options.max_dbs(2).map_size(16 << 20);
    #[expect(unsafe_code, reason = "LMDB maps a file")]
    // SAFETY: the folder is this test's own.
    let env = unsafe { options.open(&scratch.0) }.expect("opens");
    for round in 0..4_u32 {
        let mut txn = env.write_txn().expect("begins");
        let table = env.create_database::<Bytes, Bytes>(&mut txn, Some("table")).expect("can be made");
        for key in (0..600_u32).filter(|key| key % 4 == round || key % 7 == 0) {
            let key = [&[7; 300][..], &key.to_be_bytes()].concat();
            table
                .put(&mut txn, &key, &vec![5; if round == 2 { 5_000 } else { 100 }])
                .expect("can be written");
            if key.len() % 5 == 1 {
                table.delete(&mut txn, &key).expect("can be written");
            }
        }
        txn.commit().expect("can be written");
    }
    env.prepare_for_closing().wait();
    let bytes = std::fs::read(scratch.0.join("data.mdb")).expect("there");
    (scratch, bytes)
}

fn check_bytes(scratch: &Scratch, bytes: &[u8]) -> Result<State, Flaw> {
    let path = scratch.0.join("damaged");
    std::fs::write(&path, bytes).expect("can be written");
    check(&path, |_| true, |_, _, _| true)
}

#[test]
fn whatever_the_bytes_are_it_ends() {
    let (scratch, sound) = file();
    assert_eq!(check_bytes(&scratch, &sound).expect("sound"), State::Sound(4));
    let mut noise = fastrand::Rng::with_seed(1);
    let mut found = 0;
    let extremes = [0, 1, 2, 3, 15, 16, 17, 255, 4_095, 4_096, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
    for _ in 0..300 {
        let mut bytes = sound.clone();
        for _ in 0..noise.usize(1..3) {
            let pages = bytes.len() / 4_096;
            let page = if noise.bool() { noise.usize(0..2) } else { noise.usize(0..pages) };
            let value = *noise.choice(&extremes).expect("some");
            let width = *noise.choice(&[1, 2, 4, 8]).expect("some");
            let at = page * 4_096 + noise.usize(0..160 / width) * width;
            bytes[at..at + width].copy_from_slice(&value.to_ne_bytes()[..width]);
        }
        found += usize::from(check_bytes(&scratch, &bytes).is_err());
    }
    assert!((50..300).contains(&found), "{found}");
    for length in (0..sound.len()).step_by(9_973) {
        let state = check_bytes(&scratch, &sound[..length]);
        assert!(length == 0 || state.is_err(), "{length}: {state:?}");
    }
}

#[test]
fn an_older_commit_is_not_taken_for_the_newest() {
    let (scratch, sound) = file();
    // The number of the newest, of page 0, made to look older: the next lower that may stand there.
    for number in [0_u64, 2, 6, 4 << 8] {
        let mut bytes = sound.clone();
        bytes[144..152].copy_from_slice(&number.to_ne_bytes());
        assert!(check_bytes(&scratch, &bytes).is_err(), "{number}");
    }
}
