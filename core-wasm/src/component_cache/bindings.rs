//! Generated from `wit/`, and nothing else: types and functions of world `cache-component`, and how they cross.

use super::Component;

wit_bindgen::generate!({
    path: "../wit",
    world: "cache-component",
    generate_all,
});

export!(Component);
