//! `examples/embed-rust`, run as a user runs it.

use std::path::PathBuf;
use std::process::Command;

use wasmtime::Result;

#[test]
fn the_example_serves_what_is_fresh_and_computes_what_is_not() -> Result<()> {
    // Cargo builds it beside the tests.
    let mut path: PathBuf = std::env::current_exe()?;
    path.pop();
    path.pop();
    let run = Command::new(path.join("examples/embed")).output()?;
    let lines = String::from_utf8(run.stdout)?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let expected = [
        "apples for 7",
        "apples for 7 (cached)",
        "  invalidate org:1:store:2",
        "  page is stale: org:1:store:2 was invalidated",
        "apples for 8",
    ];
    assert_eq!(lines.lines().take(expected.len()).collect::<Vec<_>>(), expected);
    Ok(())
}
