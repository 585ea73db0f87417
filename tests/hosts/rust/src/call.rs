//! An instance whose functions are called by their names.

use serde_json::Value;
use wasmtime::Result;
use wasmtime::Store;
use wasmtime::component::{Func, Instance, Linker, ResourceAny, Type, Val};
use wasmtime::error::Context;

use crate::Built;
use crate::values::{self, Names};

pub(crate) struct ByName {
    store: Store<()>,
    instance: Instance,
}

impl ByName {
    pub(crate) fn start(built: &Built) -> Result<Self> {
        let mut store = Store::new(&built.runtime, ());
        let linker = Linker::new(&built.runtime);
        let instance = linker.instantiate(&mut store, &built.component)?;
        Ok(Self { store, instance })
    }

    fn function(&mut self, interface: &str, name: &str) -> Result<Func> {
        let interface = format!("zoocache:engine/{interface}@1.0.0");
        let (_, found) = self
            .instance
            .get_export(&mut self.store, None, &interface)
            .with_context(|| format!("no interface {interface}"))?;
        let (_, index) = self
            .instance
            .get_export(&mut self.store, Some(&found), name)
            .with_context(|| format!("no function {name} in {interface}"))?;
        self.instance.get_func(&mut self.store, index).with_context(|| format!("{name} is no function"))
    }

    /// Calls a function; returns its answer, and the resource in it.
    pub(crate) fn call(
        &mut self,
        (interface, name): (&str, &str),
        arguments: &[Value],
        names: &Names,
    ) -> Result<(Value, Option<ResourceAny>)> {
        let function = self.function(interface, name)?;
        let of = function.ty(&self.store);
        let types: Vec<Type> = of.params().map(|(_, of)| of).collect();
        wasmtime::ensure!(types.len() == arguments.len(), "{name} takes {} arguments", types.len());
        let arguments: Vec<Val> = arguments
            .iter()
            .zip(&types)
            .map(|(json, of)| values::val(json, of, names))
            .collect::<Result<_>>()?;
        let answer: Vec<Type> = of.results().collect();
        let mut results = vec![Val::Bool(false); answer.len()];
        function.call(&mut self.store, &arguments, &mut results)?;
        let mut new = None;
        let json = match (results.first(), answer.first()) {
            (Some(val), Some(of)) => values::json(val, of, &mut new)?,
            _ => Value::Null,
        };
        Ok((json, new))
    }

    pub(crate) fn drop(&mut self, resource: ResourceAny) -> Result<()> {
        resource.resource_drop(&mut self.store)
    }
}
