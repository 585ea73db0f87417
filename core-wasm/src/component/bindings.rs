//! Generated from `wit/`, and nothing else: types and functions of world `engine-component`, and how they cross.

use super::Component;

wit_bindgen::generate!({
    path: "../wit",
    world: "engine-component",
    generate_all,
});

export!(Component);
