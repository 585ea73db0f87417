//! Modules from Cargo, encoded as components.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_encoder::{Component, RawSection};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// The world of the engine alone.
pub(crate) fn engine(root: &Path) -> Result<Vec<u8>> {
    let module = module(root, "zoocache-core", "component", "wasm32-unknown-unknown")?;
    without_custom_sections(&ComponentEncoder::default().validate(true).module(&module)?.encode()?)
}

/// Builds a library of the workspace, with a feature of it, as a module.
fn module(root: &Path, package: &str, feature: &str, target: &str) -> Result<Vec<u8>> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", "component"])
        .args(["--package", package, "--features", feature, "--target", target])
        .status()
        .context("cargo does not start")?;
    ensure!(status.success(), "cargo could not build {package}; the lines above say why");
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = target_dir(root)?.join(target).join("component").join(file);
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// A component without the names of its items, which nothing needs.
fn without_custom_sections(bytes: &[u8]) -> Result<Vec<u8>> {
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
