//! Runs a target without a fuzzer: over its corpus, and over inputs that are made of it, the same in every run.

use std::path::Path;

use fastrand::Rng;

const SEED: u64 = 7;
const MAX_BYTES: usize = 400;

/// Calls `check` with every file in `folder` and with `generated` other inputs. A panic is preceded by the input.
pub fn run(folder: &Path, generated: usize, check: fn(&[u8])) {
    let corpus = read(folder);
    for bytes in &corpus {
        show_if_it_panics(bytes, check);
    }
    let mut rng = Rng::with_seed(SEED);
    for _ in 0..generated {
        show_if_it_panics(&made_of(&corpus, &mut rng), check);
    }
}

/// In the order of their names, which are those of their contents.
fn read(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

fn show_if_it_panics(bytes: &[u8], check: fn(&[u8])) {
    struct Shown<'a>(&'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input: b\"{}\"", self.0.escape_ascii());
            }
        }
    }
    let shown = Shown(bytes);
    check(shown.0);
}

/// One of the corpus, changed in some places; or any bytes.
fn made_of(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    if rng.u8(..4) == 0 {
        return (0..rng.usize(..MAX_BYTES)).map(|_| rng.u8(..)).collect();
    }
    let mut bytes = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(1..5) {
        let place = rng.usize(..=bytes.len());
        match rng.u8(..4) {
            0 => bytes.insert(place, rng.u8(..)),
            1 => bytes.truncate(place),
            2 => {
                let other = &corpus[rng.usize(..corpus.len())];
                bytes.truncate(place);
                bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
    }
    bytes
}
