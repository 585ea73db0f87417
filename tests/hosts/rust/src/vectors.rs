//! The component as vectors ask it, with the resources that they have names for.

use std::collections::HashMap;

use serde_json::{Value, json};
use wasmtime::component::ResourceAny;

use crate::call::ByName;
use crate::script::{Answers, run_all};
use crate::values::Names;
use crate::{Built, root};

/// Runs all of `tests/conformance`; returns how many there are, and what failed.
pub fn run(built: &Built) -> (usize, Vec<String>) {
    run_all(&root().join("tests/conformance"), |config| Run::begin(built, config).map_err(shown))
}

/// What a vector calls.
struct Run {
    instance: ByName,
    names: Names,
    /// What the resources are.
    kinds: HashMap<String, &'static str>,
}

impl Run {
    fn begin(built: &Built, config: &Value) -> wasmtime::Result<Self> {
        let (instance, names, kinds) = (ByName::start(built)?, Names::new(), HashMap::new());
        let mut run = Self { instance, names, kinds };
        let constructor = ("engine", "[constructor]engine");
        let (_, engine) = run.instance.call(constructor, std::slice::from_ref(config), &run.names)?;
        run.keep("engine", "constructor", engine);
        Ok(run)
    }

    /// Says whether a call returned a resource.
    fn keep(&mut self, name: &str, call: &str, resource: Option<ResourceAny>) -> bool {
        let Some(resource) = resource else { return false };
        self.names.insert(name.to_owned(), resource);
        self.kinds.insert(name.to_owned(), kind(call));
        true
    }
}

impl Answers for Run {
    fn call(&mut self, on: &str, call: &str, arguments: &[Value], name: &str) -> Result<Value, String> {
        let called = match on.strip_prefix('@') {
            None => self.instance.call((on, call), arguments, &self.names),
            Some(_) if call == "restore" => {
                self.instance.call(("engine", "[static]engine.restore"), arguments, &self.names)
            }
            Some(resource) => {
                let kind = self.kinds.get(resource).ok_or_else(|| format!("there is no {on}"))?;
                let mut all = vec![json!(on)];
                all.extend_from_slice(arguments);
                self.instance.call(("engine", &format!("[method]{kind}.{call}")), &all, &self.names)
            }
        };
        let (answer, new) = called.map_err(shown)?;
        if !self.keep(name, call, new) {
            return Ok(answer);
        }
        let resource = json!(format!("@{name}"));
        Ok(if answer.is_object() { json!({ "ok": resource }) } else { resource })
    }

    fn drop(&mut self, name: &str) -> Result<(), String> {
        let resource = self.names.remove(name).ok_or_else(|| format!("there is no @{name}"))?;
        self.instance.drop(resource).map_err(shown)
    }
}

/// Of what kind the resource is that a function returns.
fn kind(call: &str) -> &'static str {
    match call {
        "begin" => "fill",
        "seal" | "admit" => "entry",
        _ => "engine",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn shown(error: wasmtime::Error) -> String {
    format!("{error:#}")
}
