//! What must hold of the engine whatever it is given. One module for each target: its `check` takes any bytes, and
//! panics if something does not hold. cargo-fuzz runs them (`fuzz_targets/`), and so does a plain test, over the
//! corpora and generated inputs (`tests/corpus.rs`).

pub mod allocations;
mod choices;
pub mod corpus;
pub mod engine;
pub mod gossip;
pub mod header;
pub mod log;
pub mod snapshot;
pub mod tag;
#[path = "../../tests/model/world.rs"]
mod world;
