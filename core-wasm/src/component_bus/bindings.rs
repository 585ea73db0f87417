//! Generated from `wit/`, and nothing else: types and functions of world `bus-component`, and how they cross.

use super::NoBus;

wit_bindgen::generate!({
    path: "../wit",
    world: "bus-component",
    generate_all,
});

export!(NoBus);
