//! The vectors of `tests/conformance/` on the native engine: the answers that every host of the component must give, too.
//!
//! Calls are mapped as `src/component/` maps them: what crosses is JSON here, and the engine is the same.
#![cfg(not(loom))]

mod engine;
mod resources;
#[path = "../../../tests/conformance/script.rs"]
mod script;
mod values;
mod vector;

use std::io::Write;
use std::path::Path;

#[test]
fn every_vector_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
    let (total, failures) = script::run_all(&folder, vector::Run::begin);
    let passed = total - failures.len();
    // Not `println!`, which is shown only when a test fails.
    writeln!(std::io::stdout(), "native: {passed} of {total} vectors").expect("standard output");
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
    assert!(total > 0, "there are no vectors");
}
