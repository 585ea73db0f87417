//! Generated from `wit/`, and nothing else: what world `cache-component` imports and exports.

wasmtime::component::bindgen!({
    path: "../../../wit",
    world: "cache-component",
    with: { "wasi:keyvalue/store.bucket": super::host::Opened },
    additional_derives: [PartialEq, Eq],
});
