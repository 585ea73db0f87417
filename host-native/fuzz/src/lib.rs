//! What must hold of the decoders of what comes from a server or a folder, whatever it is. One module for each target, as
//! in `core-wasm/fuzz`.

pub mod entry;
pub mod envelope;
pub mod range;
pub mod row;
pub mod told;
