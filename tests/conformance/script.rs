//! How vectors are run, whoever answers: `README.md` beside this file says what they mean. The native engine's tests and the
//! host in Rust include it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

const STEP_KEYS: [&str; 7] = ["call", "on", "with", "as", "gives", "saves", "drop"];

/// Who is asked. Resources are written `"@name"`.
pub(crate) trait Answers {
    /// Calls a function; a resource that it returns is kept under `name`, whatever had that name before.
    fn call(&mut self, on: &str, call: &str, arguments: &[Value], name: &str) -> Result<Value, String>;

    /// Drops a resource.
    fn drop(&mut self, name: &str) -> Result<(), String>;
}

/// Runs all vectors of a folder, each on what `begin` makes of its config. Returns how many there are, and what failed.
pub(crate) fn run_all<A: Answers>(
    folder: &Path,
    begin: impl Fn(&Value) -> Result<A, String>,
) -> (usize, Vec<String>) {
    let entries = fs::read_dir(folder).expect("the folder of the vectors");
    let paths = entries.map(|entry| entry.expect("an entry of that folder").path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    let (mut total, mut failures) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a file that is listed");
        let vectors: Vec<Value> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for vector in &vectors {
            total += 1;
            let config = whole_config(vector.get("config"));
            let done = begin(&config).and_then(|answers| Script::new(answers, config).run(vector));
            if let Err(failure) = done {
                failures.push(format!("{} of {}, {failure}", vector["name"], file.display()));
            }
        }
    }
    (total, failures)
}

/// A vector that runs.
struct Script<A> {
    answers: A,
    config: Value,
    saved: HashMap<String, Value>,
}

impl<A: Answers> Script<A> {
    fn new(answers: A, config: Value) -> Self {
        Self { answers, config, saved: HashMap::new() }
    }

    fn run(mut self, vector: &Value) -> Result<(), String> {
        let steps = vector["steps"].as_array().ok_or("it has no steps")?;
        for (place, step) in steps.iter().enumerate() {
            let is_restored = vector["always-restore"] == true;
            let done = self.step(step).and_then(|()| if is_restored { self.restore() } else { Ok(()) });
            done.map_err(|failure| format!("step {}, {step}\n{failure}", place + 1))?;
        }
        Ok(())
    }

    /// Goes on with an engine that was saved and restored.
    fn restore(&mut self) -> Result<(), String> {
        self.step(&json!({"call": "snapshot", "saves": "restored"}))?;
        let config = self.config.clone();
        self.step(&json!({"call": "restore", "with": [config, "$restored"], "as": "engine"}))
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        let mut keys = step.as_object().into_iter().flat_map(Map::keys);
        if let Some(unknown) = keys.find(|key| !STEP_KEYS.contains(&key.as_str())) {
            return Err(format!("the step has an unknown key: {unknown}"));
        }
        if let Some(name) = step["drop"].as_str() {
            return self.answers.drop(name.trim_start_matches('@'));
        }
        let got = self.call(step)?;
        match step.get("gives") {
            Some(gives) => {
                let expected = self.fill_in(gives)?;
                if got != expected {
                    return Err(format!("expected {expected}\ngot      {got}"));
                }
            }
            None if got.get("err").is_some() || got == "err" => {
                return Err(format!("expected no err\ngot      {got}"));
            }
            None => {}
        }
        if let Some(name) = step["saves"].as_str() {
            let kept = got.get("ok").unwrap_or(&got).clone();
            self.saved.insert(name.to_owned(), kept);
        }
        Ok(())
    }

    fn call(&mut self, step: &Value) -> Result<Value, String> {
        let call = step["call"].as_str().ok_or("it calls nothing")?;
        let arguments = step["with"].as_array().map_or(&[][..], Vec::as_slice);
        let mut arguments: Vec<Value> =
            arguments.iter().map(|item| self.fill_in(item)).collect::<Result<_, _>>()?;
        if let ("restore", Some(config)) = (call, arguments.first_mut()) {
            *config = whole_config(Some(config));
        }
        let on = step["on"].as_str().unwrap_or("@engine");
        self.answers.call(on, call, &arguments, step["as"].as_str().unwrap_or_default())
    }

    /// Puts saved results where `$name` stands for them.
    fn fill_in(&self, item: &Value) -> Result<Value, String> {
        Ok(match item {
            Value::String(text) if text.starts_with('$') => {
                self.saved.get(&text[1..]).ok_or_else(|| format!("nothing was saved as {text}"))?.clone()
            }
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill_in(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, item)| Ok((key.clone(), self.fill_in(item)?)));
                Value::Object(fields.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }
}

/// With the fields that a vector leaves out.
fn whole_config(config: Option<&Value>) -> Value {
    let mut whole = json!({
        "domain": {"high": 0, "low": 7},
        "order": "alone",
        "max-drift": 500_000,
        "hash-seed": 0,
        "node-id": 1,
        "entries-outside": true,
    });
    if let (Some(whole), Some(config)) = (whole.as_object_mut(), config.and_then(Value::as_object)) {
        whole.extend(config.clone());
    }
    whole
}
