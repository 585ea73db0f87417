//! Modules from Cargo, encoded as components.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_encoder::{Component, RawSection};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// The bare target: what a component imports its bindings say, so that it serves for worlds that import WASI, too. The
/// targets that are called after WASI only add its C library, which the core does not use.
const BARE: &str = "wasm32-unknown-unknown";
/// For programs with the standard library.
const WASI: &str = "wasm32-wasip2";

/// A world of the core, by the feature that makes it one.
pub(crate) fn component(root: &Path, feature: &str) -> Result<Vec<u8>> {
    let kind = ["--lib", "--crate-type", "cdylib", "--features", feature];
    let module = optimized(root, &built(root, "zoocache-core", &kind, BARE, "zoocache_core.wasm")?)?;
    without_custom_sections(&ComponentEncoder::default().validate(true).module(&module)?.encode()?)
}

/// A module after Binaryen has gone over it: a tenth smaller, and faster where the compiler was told to keep it small.
fn optimized(root: &Path, module: &[u8]) -> Result<Vec<u8>> {
    let [before, after] =
        ["before.wasm", "after.wasm"].map(|name| target_dir(root).map(|dir| dir.join(name)));
    let (before, after) = (before?, after?);
    std::fs::write(&before, module)?;
    // What the target has anyway; Binaryen assumes less.
    let features = ["bulk-memory", "mutable-globals", "nontrapping-float-to-int", "sign-ext"];
    let status = Command::new("wasm-opt")
        .args(features.map(|feature| format!("--enable-{feature}")))
        .arg("-O2")
        .arg(&before)
        .arg("-o")
        .arg(&after)
        .status()
        .context("wasm-opt does not start; install it: apt-get install binaryen")?;
    ensure!(status.success(), "wasm-opt failed; the lines above say why");
    Ok(std::fs::read(&after)?)
}

/// A program of the workspace; its linker makes a component of it.
pub(crate) fn program(root: &Path, package: &str) -> Result<Vec<u8>> {
    add_target(root, WASI)?;
    without_custom_sections(&built(root, package, &[], WASI, &format!("{package}.wasm"))?)
}

/// Builds a package of the workspace; `kind` are arguments that say what of it.
fn built(root: &Path, package: &str, kind: &[&str], target: &str, file: &str) -> Result<Vec<u8>> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["rustc", "--profile", "component", "--package", package, "--target", target])
        .args(kind)
        .status()
        .context("cargo does not start")?;
    ensure!(status.success(), "cargo could not build {package}; the lines above say why");
    let path = target_dir(root)?.join(target).join("component").join(file);
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// Has rustup add a target, if it is not there.
fn add_target(root: &Path, target: &str) -> Result<()> {
    let asked = Command::new("rustc")
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("rustc does not start")?;
    if Path::new(String::from_utf8(asked.stdout)?.trim()).is_dir() {
        return Ok(());
    }
    let status = Command::new("rustup")
        .current_dir(root)
        .args(["target", "add", target])
        .status()
        .context("rustup does not start")?;
    ensure!(status.success(), "rustup could not add {target}; the lines above say why");
    Ok(())
}

/// A component without the names of its items, which nothing needs.
pub(crate) fn without_custom_sections(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut slim = Component::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if depth == 0
            && !matches!(payload, Payload::CustomSection(_))
            && let Some((id, range)) = payload.as_section()
        {
            let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
            slim.section(&RawSection { id, data: &bytes[range] });
        }
        match payload {
            // What is in them came with the section that they are.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(slim.finish())
}

/// Where Cargo builds: this program lies there, too, as `PROFILE/xtask`.
fn target_dir(root: &Path) -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(root.join(chosen));
    }
    let program = std::env::current_exe()?;
    let place = program.ancestors().nth(2).context("a program in a folder")?;
    Ok(place.to_owned())
}
