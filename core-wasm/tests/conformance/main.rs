//! The vectors of `tests/conformance/` on the native engine: the answers that every host of the component must give, too.
//!
//! Calls are mapped as `src/component/` maps them: what crosses is JSON here, and the engine is the same.
#![cfg(not(loom))]

mod engine;
mod resources;
mod values;
mod vector;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[test]
fn every_vector_holds() {
    let (mut total, mut failures) = (0, Vec::new());
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a file that is listed");
        let vectors: Vec<Value> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for vector in &vectors {
            total += 1;
            if let Err(failure) = vector::run(vector) {
                failures.push(format!("{} of {}, {failure}", vector["name"], file.display()));
            }
        }
    }
    let passed = total - failures.len();
    // Not `println!`, which is shown only when a test fails.
    writeln!(std::io::stdout(), "native: {passed} of {total} vectors").expect("standard output");
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
    assert!(total > 0, "there are no vectors");
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
    let entries = std::fs::read_dir(folder).expect("the folder of the vectors");
    let paths = entries.map(|entry| entry.expect("an entry of that folder").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}
