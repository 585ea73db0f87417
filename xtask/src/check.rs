//! What a component must be, looked up in its bytes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use wit_component::WitPrinter;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

/// What is expected of a component.
pub(crate) struct Component {
    pub(crate) name: &'static str,
    /// Of `wit/`.
    pub(crate) world: &'static str,
    pub(crate) most_bytes: Option<usize>,
}

impl Component {
    /// Checks it, and prints what was found.
    ///
    /// # Errors
    /// With the first thing that is not as it must be.
    pub(crate) fn check(&self, bytes: &[u8], wit: &Path) -> Result<()> {
        let (name, size) = (self.name, bytes.len());
        let DecodedWasm::Component(found, found_world) = decode(bytes)? else {
            bail!("{name} is no component")
        };
        let mut said = Resolve::default();
        let (package, _) = said.push_dir(wit)?;
        let said_world = said.select_world(&[package], Some(self.world))?;
        let found = sides(&found, found_world)?;
        let said = sides(&said, said_world)?;
        let imports: Vec<&str> = found.imports.keys().map(String::as_str).collect();
        let imports = if imports.is_empty() { "none".to_owned() } else { imports.join(", ") };
        let exports = found.exports.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        println!("dist/{name}: {size} bytes");
        println!("  imports: {imports}");
        println!("  exports: {exports}");
        if let Some(most) = self.most_bytes {
            println!("  size: {:.1} KiB, at most {} KiB", kib(size), most / 1024);
            ensure!(size <= most, "{name} has {size} bytes, at most {most} are allowed");
        }
        same("exports", &found.exports, &said.exports)?;
        same("imports", &found.imports, &said.imports)?;
        println!("  its WIT is that of wit/");
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

/// Interfaces by name, each as text without comments.
struct Sides {
    imports: BTreeMap<String, String>,
    exports: BTreeMap<String, String>,
}

fn sides(resolve: &Resolve, world: WorldId) -> Result<Sides> {
    let world = &resolve.worlds[world];
    let text = |(key, item): (&WorldKey, &WorldItem)| {
        let WorldItem::Interface { id, .. } = item else {
            bail!("{} is no interface", resolve.name_world_key(key))
        };
        let mut printer = WitPrinter::default();
        printer.emit_docs(false);
        printer.print_interface(resolve, *id)?;
        Ok((resolve.name_world_key(key), String::from(printer.output)))
    };
    let imports = world.imports.iter().map(text).collect::<Result<BTreeMap<_, _>>>()?;
    let exports = world.exports.iter().map(text).collect::<Result<BTreeMap<_, _>>>()?;
    Ok(Sides { imports, exports })
}

/// A component need not import what it does not call.
fn same(what: &str, found: &BTreeMap<String, String>, said: &BTreeMap<String, String>) -> Result<()> {
    for (name, text) in found {
        let expected = said.get(name).with_context(|| format!("{what} {name}, which wit/ does not"))?;
        ensure!(text == expected, "{what}: {name} is not as in wit/:\n{text}\nwit/ says:\n{expected}");
    }
    Ok(())
}
