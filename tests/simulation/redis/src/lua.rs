//! The interpreter that scripts run in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use mlua::{Error, Function, LuaOptions, MultiValue, Result, StdLib, Value};

use crate::reply::Reply;
use crate::store::Store;
use crate::values::{field, from_lua, into_lua, words};

/// What scripts are called in errors.
const SOURCE: &str = "@user_script";

pub(crate) struct Lua {
    interpreter: mlua::Lua,
    run: Function,
    /// By the hash of their texts.
    scripts: BTreeMap<String, Function>,
}

impl Lua {
    pub(crate) fn new(store: &Rc<RefCell<Store>>) -> Self {
        let lua = mlua::Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::new())
            .expect("invariant: these libraries are safe");
        let run = prepare(&lua, Rc::clone(store)).expect("invariant: the prelude runs");
        Self { interpreter: lua, run, scripts: BTreeMap::new() }
    }

    pub(crate) fn forget(&mut self) {
        self.scripts.clear();
    }

    pub(crate) fn knows(&self, hash: &str) -> bool {
        self.scripts.contains_key(hash)
    }

    /// Compiles a script that is not known yet. What is wrong with its text is for the client.
    pub(crate) fn load(&mut self, hash: &str, text: &[u8]) -> std::result::Result<(), String> {
        if self.knows(hash) {
            return Ok(());
        }
        match self.interpreter.load(text).set_name(SOURCE).into_function() {
            Ok(script) => {
                self.scripts.insert(hash.to_owned(), script);
                Ok(())
            }
            Err(Error::SyntaxError { message, .. }) => {
                Err(format!("ERR Error compiling script (new function): {message}"))
            }
            Err(error) => panic!("the interpreter failed: {error}"),
        }
    }

    /// Runs a script that is known. What it wrote before it failed stays.
    pub(crate) fn run(&self, hash: &str, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Reply {
        let script = &self.scripts[hash];
        self.try_run(script, hash, keys, arguments).expect("invariant: no script breaks the interpreter")
    }

    fn try_run(
        &self,
        script: &Function,
        hash: &str,
        keys: &[Vec<u8>],
        arguments: &[Vec<u8>],
    ) -> Result<Reply> {
        let globals = self.interpreter.globals();
        for (name, words) in [("KEYS", keys), ("ARGV", arguments)] {
            let list = self.interpreter.create_table_with_capacity(words.len(), 0)?;
            for word in words {
                list.raw_push(self.interpreter.create_string(word)?)?;
            }
            globals.raw_set(name, list)?;
        }
        match self.run.call(script)? {
            (true, value) => from_lua(value),
            (false, Value::Table(cause)) => {
                let text = field(&cause, "err")?.unwrap_or_else(|| "ERR unknown error".to_owned());
                let line: Option<usize> = cause.raw_get("line")?;
                let place = line.map(|line| format!(" script: {hash}, on {SOURCE}:{line}."));
                Ok(Reply::Error(text + &place.unwrap_or_default()))
            }
            (false, cause) => panic!("the server failed: {cause:?}"),
        }
    }
}

/// A command failed: the text of its error.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

fn prepare(lua: &mlua::Lua, store: Rc<RefCell<Store>>) -> Result<Function> {
    let to_try = Rc::clone(&store);
    let attempt =
        lua.create_function(move |lua, words: MultiValue| into_lua(run_command(&to_try, words), lua))?;
    let run = lua.create_function(move |lua, words: MultiValue| match run_command(&store, words) {
        Reply::Error(text) => Err(Error::external(Failure(text))),
        reply => into_lua(reply, lua),
    })?;
    let text_of = lua.create_function(|_, cause: Value| {
        let Value::Error(error) = cause else { return Ok(None) };
        Ok(error.downcast_ref().map(|Failure(text)| text.clone()))
    })?;
    let line = lua.create_function(|lua, ()| Ok(line_of_script(lua)))?;
    lua.load(include_str!("prelude.lua")).set_name("=prelude").call((attempt, run, text_of, line))
}

fn run_command(store: &RefCell<Store>, arguments: MultiValue) -> Reply {
    let refused = |text: &str| Reply::Error(text.to_owned());
    if arguments.is_empty() {
        return refused("ERR Please specify at least one argument for this redis lib call");
    }
    match words(arguments) {
        Some(words) => store.borrow_mut().call_in_script(&words),
        None => refused("ERR Lua redis lib command arguments must be strings or integers"),
    }
}

/// The line of the innermost function that is a script's.
fn line_of_script(lua: &mlua::Lua) -> Option<usize> {
    for level in 0.. {
        let found = lua.inspect_stack(level, |function| {
            let is_script = function.source().source.as_deref() == Some(SOURCE);
            function.current_line().filter(|_| is_script)
        })?;
        if found.is_some() {
            return found;
        }
    }
    None
}
