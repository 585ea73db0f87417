//! One vector: its steps, each compared with what it must give.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::engine::{self, Shared};
use crate::resources::{self, Resource};
use crate::values::{self, Stop, fault};

const STEP_KEYS: [&str; 7] = ["call", "on", "with", "as", "gives", "saves", "drop"];

/// Runs a vector.
///
/// # Errors
/// What is not as the vector says, and at which step.
pub(crate) fn run(vector: &Value) -> Result<(), String> {
    let config = vector.get("config").cloned().unwrap_or_else(|| json!({}));
    let mut run = Run::new(&config).map_err(|stop| stop.to_string())?;
    let steps = vector["steps"].as_array().ok_or("it has no steps")?;
    for (place, step) in steps.iter().enumerate() {
        let is_restored = vector["always-restore"] == true;
        let done = run.step(step).and_then(|()| if is_restored { run.restore(&config) } else { Ok(()) });
        done.map_err(|stop| format!("step {}, {step}\n{stop}", place + 1))?;
    }
    Ok(())
}

/// The resources and saved results of a vector that runs.
pub(crate) struct Run {
    resources: HashMap<String, Resource>,
    /// A name that is given again drops nothing.
    renamed: Vec<Resource>,
    saved: HashMap<String, Value>,
    /// What the step calls the resource that its call returns.
    name: String,
}

impl Run {
    fn new(config: &Value) -> Result<Self, Stop> {
        let mut run = Self {
            resources: HashMap::new(),
            renamed: Vec::new(),
            saved: HashMap::new(),
            name: "engine".to_owned(),
        };
        let engine = zoocache_core::Engine::new(values::config_in(config)?);
        run.keep(Resource::Engine(Shared::new(engine)));
        Ok(run)
    }

    /// Goes on with an engine that was saved and restored.
    fn restore(&mut self, config: &Value) -> Result<(), Stop> {
        self.step(&json!({"call": "snapshot", "with": [], "saves": "restored"}))?;
        self.step(&json!({"call": "restore", "with": [config, "$restored"], "as": "engine"}))
    }

    fn step(&mut self, step: &Value) -> Result<(), Stop> {
        let keys = step.as_object().into_iter().flat_map(|step| step.keys());
        if let Some(unknown) = keys.into_iter().find(|key| !STEP_KEYS.contains(&key.as_str())) {
            return fault(format!("the step has an unknown key: {unknown}"));
        }
        if let Some(name) = step.get("drop") {
            self.take(name)?;
            return Ok(());
        }
        step["as"].as_str().unwrap_or_default().clone_into(&mut self.name);
        let got = self.call(step)?;
        match step.get("gives") {
            Some(gives) => {
                let expected = self.fill_in(gives)?;
                if got != expected {
                    return fault(format!("expected {expected}\ngot      {got}"));
                }
            }
            None if got.get("err").is_some() => return fault(format!("expected no err\ngot      {got}")),
            None => {}
        }
        if let Some(name) = step["saves"].as_str() {
            let kept = got.get("ok").unwrap_or(&got).clone();
            self.saved.insert(name.to_owned(), kept);
        }
        Ok(())
    }

    fn call(&mut self, step: &Value) -> Result<Value, Stop> {
        let on = step["on"].as_str().unwrap_or("@engine");
        let Some(name) = step["call"].as_str() else { return fault("it calls nothing") };
        let arguments = step["with"].as_array().map_or(&[][..], Vec::as_slice);
        let filled_in: Result<Vec<Value>, Stop> = arguments.iter().map(|item| self.fill_in(item)).collect();
        let arguments = &filled_in?;
        let given = match on {
            "tags" | "headers" => resources::text(name, arguments),
            _ => match self.resources.get(on.trim_start_matches('@')) {
                Some(Resource::Engine(engine)) => engine::call(self, &engine.clone(), name, arguments),
                Some(Resource::Entry(entry)) => entry.call(name, arguments),
                Some(Resource::Fill(fill)) => fill.call(name, arguments),
                None => fault(format!("there is no {on}")),
            },
        };
        match given {
            Err(Stop::Gives(error)) => Ok(json!({"err": error})),
            given => given,
        }
    }

    /// Keeps what a call returned under the name that its step has for it.
    pub(crate) fn keep(&mut self, resource: Resource) -> Value {
        let renamed = self.resources.insert(self.name.clone(), resource);
        self.renamed.extend(renamed);
        Value::String(format!("@{}", self.name))
    }

    /// Gives a resource away.
    pub(crate) fn take(&mut self, name: &Value) -> Result<Resource, Stop> {
        let found = name.as_str().and_then(|name| self.resources.remove(name.trim_start_matches('@')));
        found.ok_or_else(|| Stop::Fault(format!("there is no {name}")))
    }

    /// Puts saved results where `$name` stands for them.
    fn fill_in(&self, item: &Value) -> Result<Value, Stop> {
        Ok(match item {
            Value::String(text) if text.starts_with('$') => match self.saved.get(&text[1..]) {
                Some(saved) => saved.clone(),
                None => return fault(format!("nothing was saved as {text}")),
            },
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill_in(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, item)| Ok((key.clone(), self.fill_in(item)?)));
                Value::Object(fields.collect::<Result<_, Stop>>()?)
            }
            other => other.clone(),
        })
    }
}
