//! `cargo run -p xtask`: builds the components into `dist/`, and says what is in them.
//!
//! A module comes from Cargo, and is encoded as a component by the types that its bindings left in it. What comes out is
//! checked: it must import what it may and no more, be small, and say the same as `wit/`.

mod build;
mod check;

use std::path::Path;

use anyhow::Result;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: a member of the workspace");
    let dist = root.join("dist");
    std::fs::create_dir_all(&dist)?;
    let engine = build::engine(root)?;
    let path = dist.join("zoocache-engine.wasm");
    std::fs::write(&path, &engine)?;
    check::Component { name: "zoocache-engine.wasm", world: "engine-component", most_bytes: Some(96 * 1024) }
        .check(&engine, &root.join("wit"))
}
