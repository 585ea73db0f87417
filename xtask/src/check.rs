//! What a component must be, looked up in its bytes.

use std::collections::{BTreeMap, BTreeSet};
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
    pub(crate) most_bytes: usize,
}

impl Component {
    /// Checks it, and prints what was found.
    ///
    /// # Errors
    /// With the first thing that is not as it must be.
    pub(crate) fn check(&self, bytes: &[u8], wit: &Path) -> Result<()> {
        let (name, size, most) = (self.name, bytes.len(), self.most_bytes);
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
        println!("  size: {:.1} KiB, at most {} KiB", kib(size), most / 1024);
        ensure!(size <= most, "{name} has {size} bytes, at most {most} are allowed");
        same("exports", &found.exports, &said.exports, |found, said| found == said)?;
        ensure!(found.exports.len() == said.exports.len(), "{name} does not export all that wit/ says");
        same("imports", &found.imports, &said.imports, is_part)?;
        println!("  its WIT is that of wit/");
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

/// By name, each as its types and functions, which are texts without comments.
type Interfaces = BTreeMap<String, BTreeSet<String>>;

struct Sides {
    imports: Interfaces,
    exports: Interfaces,
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
        let text = String::from(printer.output);
        let items = text.split("\n\n").filter(|item| !item.trim().is_empty()).map(in_order);
        Ok((resolve.name_world_key(key), items.collect()))
    };
    let imports = world.imports.iter().map(text).collect::<Result<Interfaces>>()?;
    let exports = world.exports.iter().map(text).collect::<Result<Interfaces>>()?;
    Ok(Sides { imports, exports })
}

/// The item, with the names in a `use` in an order that does not depend on who wrote them.
fn in_order(item: &str) -> String {
    let item = item.trim();
    match item.strip_suffix("};").and_then(|item| item.split_once(".{")) {
        Some((from, names)) => {
            let names: BTreeSet<&str> = names.split(", ").collect();
            format!("{from}.{names:?}")
        }
        None => item.to_owned(),
    }
}

/// All that is found is said, in the same words.
fn same(what: &str, found: &Interfaces, said: &Interfaces, is_same: IsSame) -> Result<()> {
    for (name, items) in found {
        let expected = said.get(name).with_context(|| format!("{what} {name}, which wit/ does not"))?;
        ensure!(
            is_same(items, expected),
            "{what}: {name} is not as in wit/: {items:#?}\nwit/ says: {expected:#?}"
        );
    }
    Ok(())
}

type IsSame = fn(&BTreeSet<String>, &BTreeSet<String>) -> bool;

/// A component need not import what it does not use: items may be missing, and lines of a resource.
fn is_part(found: &BTreeSet<String>, said: &BTreeSet<String>) -> bool {
    found.iter().all(|item| said.iter().any(|whole| has_lines(whole, item)))
}

fn has_lines(whole: &str, item: &str) -> bool {
    let mut lines = whole.lines();
    item.lines().all(|line| lines.any(|other| other == line))
}
