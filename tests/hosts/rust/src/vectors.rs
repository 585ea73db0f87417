//! The conformance vectors, as `tests/conformance/README.md` describes them.

use std::collections::HashMap;

use serde_json::{Value, json};
use wasmtime::error::Context;
use wasmtime::{Result, ensure};

use crate::call::ByName;
use crate::values::Names;
use crate::{Built, root};

/// Runs all; returns how many there are.
///
/// # Errors
/// With the first that does not give what it must.
pub fn run(built: &Built) -> Result<usize> {
    let mut count = 0;
    let folder = root().join("tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?.collect::<std::io::Result<_>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        if file.path().extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vectors: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file.path())?)?;
        for vector in &vectors {
            let name = vector["name"].as_str().context("a vector without a name")?;
            let told = || format!("{}: {name}", file.file_name().display());
            Run::new(built, vector)?.steps(vector).with_context(told)?;
            count += 1;
        }
    }
    Ok(count)
}

/// One vector being run.
struct Run {
    instance: ByName,
    names: Names,
    /// What the resources are.
    kinds: HashMap<String, &'static str>,
    saved: HashMap<String, Value>,
    config: Value,
}

impl Run {
    fn new(built: &Built, vector: &Value) -> Result<Self> {
        let config = whole_config(&vector["config"]);
        let instance = ByName::start(built)?;
        let mut run = Self {
            instance,
            names: Names::new(),
            kinds: HashMap::from([("engine".to_owned(), "engine")]),
            saved: HashMap::new(),
            config,
        };
        let config = run.config.clone();
        let (_, engine) = run.instance.call(("engine", "[constructor]engine"), &[config], &run.names)?;
        run.names.insert("engine".to_owned(), engine.context("no engine")?);
        Ok(run)
    }

    fn steps(mut self, vector: &Value) -> Result<()> {
        let always_restore = vector["always-restore"].as_bool().unwrap_or(false);
        let steps = vector["steps"].as_array().context("no steps")?;
        for (place, step) in steps.iter().enumerate() {
            self.step(step).with_context(|| format!("step {place}: {step}"))?;
            if always_restore {
                self.restore().with_context(|| format!("restored after step {place}"))?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Value) -> Result<()> {
        if let Some(name) = step["drop"].as_str() {
            let name = name.trim_start_matches('@');
            let resource = self.names.remove(name).with_context(|| format!("no resource {name}"))?;
            return self.instance.drop(resource);
        }
        let call = step["call"].as_str().context("no call")?;
        let arguments: Vec<Value> = match &step["with"] {
            Value::Null => Vec::new(),
            with => with
                .as_array()
                .context("arguments that are no list")?
                .iter()
                .map(|it| self.filled(it))
                .collect(),
        };
        let (mut answer, new) = self.call(step["on"].as_str().unwrap_or("@engine"), call, arguments)?;
        if let Some(new) = new {
            let name = step["as"].as_str().unwrap_or("nobody needs it");
            self.names.insert(name.to_owned(), new);
            self.kinds.insert(name.to_owned(), kind(call));
            let shown = json!(format!("@{name}"));
            answer = if answer.is_object() { json!({ "ok": shown }) } else { shown };
        }
        match &step["gives"] {
            Value::Null if step.get("gives").is_none() => {
                ensure!(answer.get("err").is_none() && answer != "err", "it gives {answer}");
            }
            expected => {
                let expected = self.filled(expected);
                ensure!(answer == expected, "it gives {answer}, not {expected}");
            }
        }
        if let Some(name) = step["saves"].as_str() {
            let value = answer.get("ok").cloned().unwrap_or(answer);
            self.saved.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn call(
        &mut self,
        on: &str,
        call: &str,
        mut arguments: Vec<Value>,
    ) -> Result<(Value, Option<wasmtime::component::ResourceAny>)> {
        if call == "restore" {
            let config = arguments.first_mut().context("no config")?;
            *config = whole_config(config);
            return self.instance.call(("engine", "[static]engine.restore"), &arguments, &self.names);
        }
        let Some(resource) = on.strip_prefix('@') else {
            return self.instance.call((on, call), &arguments, &self.names);
        };
        arguments.insert(0, json!(on));
        let kind = *self.kinds.get(resource).with_context(|| format!("no resource {resource}"))?;
        self.instance.call(("engine", &format!("[method]{kind}.{call}")), &arguments, &self.names)
    }

    /// The engine as it is restored from its snapshot.
    fn restore(&mut self) -> Result<()> {
        let (snapshot, _) =
            self.instance.call(("engine", "[method]engine.snapshot"), &[json!("@engine")], &self.names)?;
        let arguments = [self.config.clone(), snapshot];
        let restored = self.instance.call(("engine", "[static]engine.restore"), &arguments, &self.names)?;
        self.names.insert("engine".to_owned(), restored.1.context("it is not restored")?);
        Ok(())
    }

    /// With what was saved in the place of its names.
    fn filled(&self, json: &Value) -> Value {
        match json {
            Value::String(text) => {
                let saved = text.strip_prefix('$').and_then(|name| self.saved.get(name));
                saved.cloned().unwrap_or_else(|| json.clone())
            }
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, field)| (name.clone(), self.filled(field))).collect())
            }
            other => other.clone(),
        }
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

/// With the fields that a vector leaves out.
fn whole_config(config: &Value) -> Value {
    let mut whole = json!({
        "domain": {"high": 0, "low": 7},
        "order": "alone",
        "max-drift": 500_000,
        "hash-seed": 0,
        "node-id": 1,
        "entries-outside": true,
    });
    if let (Some(whole), Some(config)) = (whole.as_object_mut(), config.as_object()) {
        whole.extend(config.clone());
    }
    whole
}
