//! The native engine as vectors ask it, with the resources that they have names for.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::engine::{self, Shared};
use crate::resources::{self, Resource};
use crate::script::Answers;
use crate::values::{self, Stop, fault};

/// What a vector calls.
#[derive(Default)]
pub(crate) struct Run {
    resources: HashMap<String, Resource>,
    /// A name that is given again drops nothing.
    renamed: Vec<Resource>,
    /// What the step calls the resource that its call returns.
    name: String,
}

impl Run {
    pub(crate) fn begin(config: &Value) -> Result<Self, String> {
        let mut run = Self { name: "engine".to_owned(), ..Self::default() };
        let config = values::config_in(config).map_err(|stop| stop.to_string())?;
        run.keep(Resource::Engine(Shared::new(zoocache_core::Engine::new(config))));
        Ok(run)
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
}

impl Answers for Run {
    fn call(&mut self, on: &str, call: &str, arguments: &[Value], name: &str) -> Result<Value, String> {
        name.clone_into(&mut self.name);
        let given = match on {
            "tags" | "headers" => resources::text(call, arguments),
            _ => match self.resources.get(on.trim_start_matches('@')) {
                Some(Resource::Engine(engine)) => engine::call(self, &engine.clone(), call, arguments),
                Some(Resource::Entry(entry)) => entry.call(call, arguments),
                Some(Resource::Fill(fill)) => fill.call(call, arguments),
                None => fault(format!("there is no {on}")),
            },
        };
        match given {
            Err(Stop::Gives(error)) => Ok(json!({ "err": error })),
            Err(stop) => Err(stop.to_string()),
            Ok(given) => Ok(given),
        }
    }

    fn drop(&mut self, name: &str) -> Result<(), String> {
        self.take(&json!(name)).map(drop).map_err(|stop| stop.to_string())
    }
}
