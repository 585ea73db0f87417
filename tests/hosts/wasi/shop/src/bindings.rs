//! Generated from `wit/`, and nothing else: what world `application` imports.

wit_bindgen::generate!({
    path: "../../../../wit",
    world: "application",
    generate_all,
});
