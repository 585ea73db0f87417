//! Generated from `wit/`, and nothing else: types and functions of world `engine-component`, from the host's side.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "engine-component",
});
