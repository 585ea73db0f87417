//! A call becomes a key: its arguments are bound to the function's parameters and encoded in their order.
//!
//! `f(1)` and `f(x=1)` give one key, `f(1)` and `f(1.0)` two, unless the function is not `typed`. Whatever does not fit the signature is not
//! judged here: the function itself is called and raises the `TypeError` that Python users know.

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;

use crate::key::{KeyBuffer, encode};
use crate::recent;

/// How a parameter takes its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PositionalOnly,
    PositionalOrKeyword,
    KeywordOnly,
}

/// One named parameter.
#[derive(Debug)]
struct Parameter {
    name: Py<PyString>,
    kind: Kind,
    default: Option<Py<PyAny>>,
    ignored: bool,
}

/// The parameters of a cached function.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked on its own")]
pub(crate) struct Signature {
    /// For messages: the function's qualified name.
    function: String,
    parameters: Vec<Parameter>,
    /// How many of them can be given by position.
    positional: usize,
    var_positional: bool,
    var_keyword: bool,
    /// What the function calls its `*args` and `**kwargs`.
    var_positional_name: Option<Py<PyString>>,
    var_keyword_name: Option<Py<PyString>>,
    /// A call with `positional` positional arguments and nothing else needs no binding.
    plain: bool,
    any_ignored: bool,
    /// Do equal arguments of different types make different keys?
    typed: bool,
    /// No default value can change, so the arguments alone tell the key.
    stable_defaults: bool,
}

/// A call as the interpreter hands it over: no tuple, no dictionary.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a, 'py> {
    pub(crate) py: Python<'py>,
    /// Positional arguments, then the values of the keyword arguments.
    pub(crate) values: &'a [Borrowed<'a, 'py, PyAny>],
    /// The names of the last `values`, if there are keyword arguments.
    pub(crate) names: Option<Borrowed<'a, 'py, PyTuple>>,
}

impl<'a, 'py> Call<'a, 'py> {
    fn positional(&self) -> &'a [Borrowed<'a, 'py, PyAny>] {
        let keywords = self.names.map_or(0, |names| names.len());
        &self.values[..self.values.len() - keywords]
    }

    /// As a tuple and a dictionary, for calling Python.
    pub(crate) fn to_python(self) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
        let args = PyTuple::new(self.py, self.positional())?;
        if self.names.is_none() {
            return Ok((args, None));
        }
        let kwargs = PyDict::new(self.py);
        for (name, value) in self.keywords() {
            kwargs.set_item(name, value)?;
        }
        Ok((args, Some(kwargs)))
    }

    fn keywords(&self) -> impl Iterator<Item = (Borrowed<'a, 'py, PyString>, Borrowed<'a, 'py, PyAny>)> {
        let values = &self.values[self.positional().len()..];
        let names = self.names.into_iter().flat_map(|names| {
            // Keyword names are strings that live as long as the tuple of names.
            (0..names.len()).filter_map(move |index| {
                let name = names.get_borrowed_item(index).ok()?;
                #[expect(unsafe_code, reason = "the item lives as long as the tuple, which outlives `self`")]
                // SAFETY: a tuple never changes, and the interpreter keeps `kwnames` alive for the call.
                unsafe {
                    Some(Borrowed::from_ptr(name.py(), name.as_ptr()).cast_unchecked::<PyString>())
                }
            })
        });
        names.zip(values.iter().copied())
    }
}

type Slots<'a, 'py> = SmallVec<[Option<Borrowed<'a, 'py, PyAny>>; 8]>;

/// The arguments of a call, in the order of the parameters.
pub(crate) struct BoundCall<'a, 'py> {
    slots: Slots<'a, 'py>,
    extra_positional: &'a [Borrowed<'a, 'py, PyAny>],
    extra_keywords: Vec<(Borrowed<'a, 'py, PyString>, Borrowed<'a, 'py, PyAny>)>,
}

impl Signature {
    /// Reads `inspect.Parameter` objects. `ignored` names parameters that take no part in the key.
    pub(crate) fn new(
        function: &str,
        parameters: &Bound<'_, PyAny>,
        ignored: &[String],
        typed: bool,
    ) -> PyResult<Self> {
        let mut signature = Self {
            function: function.to_owned(),
            parameters: Vec::new(),
            positional: 0,
            var_positional: false,
            var_keyword: false,
            var_positional_name: None,
            var_keyword_name: None,
            plain: true,
            any_ignored: !ignored.is_empty(),
            typed,
            stable_defaults: true,
        };
        for parameter in parameters.try_iter()? {
            let parameter = parameter?;
            let name: Bound<'_, PyString> = parameter.getattr("name")?.cast_into()?;
            let kind = match parameter.getattr("kind")?.extract::<u8>()? {
                0 => Kind::PositionalOnly,
                1 => Kind::PositionalOrKeyword,
                3 => Kind::KeywordOnly,
                other => {
                    signature.plain = false;
                    if other == 2 {
                        signature.var_positional = true;
                        signature.var_positional_name = Some(name.unbind());
                    } else {
                        signature.var_keyword = true;
                        signature.var_keyword_name = Some(name.unbind());
                    }
                    continue;
                }
            };
            let default = parameter.getattr("default")?;
            let empty = parameter.getattr("empty")?;
            let has_default = !default.is(&empty);
            signature.stable_defaults &= !has_default || recent::identity(default.as_ptr()).is_some();
            signature.plain &= kind != Kind::KeywordOnly;
            signature.positional += usize::from(kind != Kind::KeywordOnly);
            signature.parameters.push(Parameter {
                ignored: ignored.iter().any(|ignored| name.to_str().is_ok_and(|name| name == ignored)),
                // Interned, so that a keyword of a call is found by its address.
                name: PyString::intern(parameter.py(), name.to_str()?).unbind(),
                kind,
                default: has_default.then(|| default.unbind()),
            });
        }
        Ok(signature)
    }

    /// Appends the arguments of `call` to `out`. `Ok(false)`: the call does not fit the signature.
    ///
    /// # Errors
    /// `ValueError` naming function and argument when an argument has no stable encoding.
    #[inline]
    pub(crate) fn encode_call(&self, call: Call<'_, '_>, out: &mut KeyBuffer) -> PyResult<bool> {
        if self.plain && !self.any_ignored && call.names.is_none() && call.values.len() == self.positional {
            for (index, value) in call.values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                encode(value, out, self.typed).map_err(|error| self.explain(index, value, &error))?;
            }
            return Ok(true);
        }
        match self.bind(call) {
            Some(bound) => self.encode_bound(&bound, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// Appends what the user's own `key` function made of a call.
    ///
    /// # Errors
    /// `ValueError` naming the function when that has no stable encoding.
    pub(crate) fn encode_own_key(&self, own: &Bound<'_, PyAny>, out: &mut KeyBuffer) -> PyResult<()> {
        encode(own, out, self.typed).map_err(|error| self.explain_extra("key", own, &error))
    }

    /// Is there a parameter that takes no part in the key?
    #[inline]
    pub(crate) fn ignores_any(&self) -> bool {
        self.any_ignored
    }

    /// Do equal arguments of different types make different keys?
    pub(crate) fn is_typed(&self) -> bool {
        self.typed
    }

    /// Do a call's arguments alone tell its key?
    #[inline]
    pub(crate) fn has_stable_defaults(&self) -> bool {
        self.stable_defaults
    }

    /// Can the function be called like this?
    #[inline]
    pub(crate) fn fits(&self, call: Call<'_, '_>) -> bool {
        (self.plain && call.names.is_none() && call.values.len() == self.positional)
            || self.bind(call).is_some()
    }

    fn encode_bound(&self, bound: &BoundCall<'_, '_>, out: &mut KeyBuffer) -> PyResult<()> {
        let start = out.len();
        let separate = |out: &mut KeyBuffer| {
            if out.len() > start {
                out.push(b',');
            }
        };
        for (index, slot) in bound.slots.iter().enumerate() {
            if let (false, Some(value)) = (self.parameters[index].ignored, slot) {
                separate(out);
                encode(value, out, self.typed).map_err(|error| self.explain(index, value, &error))?;
            }
        }
        // What `*args` and `**kwargs` took is marked, so that it cannot be taken for a named parameter.
        for value in bound.extra_positional {
            separate(out);
            out.push(b'*');
            encode(value, out, self.typed).map_err(|error| self.explain_extra("*args", value, &error))?;
        }
        let mut extra: SmallVec<[(KeyBuffer, usize); 2]> = SmallVec::new();
        for (index, (name, _)) in bound.extra_keywords.iter().enumerate() {
            // Quoted: a keyword of `**kwargs` can be any text.
            let mut quoted = KeyBuffer::new();
            encode(name, &mut quoted, self.typed)?;
            extra.push((quoted, index));
        }
        extra.sort_unstable();
        for (quoted, index) in extra {
            let (name, value) = &bound.extra_keywords[index];
            separate(out);
            out.extend_from_slice(&quoted);
            out.push(b'=');
            encode(value, out, self.typed)
                .map_err(|error| self.explain_extra(&name.to_string_lossy(), value, &error))?;
        }
        Ok(())
    }

    /// Binds the arguments as the interpreter would; `None` if they do not fit.
    pub(crate) fn bind<'a, 'py>(&'a self, call: Call<'a, 'py>) -> Option<BoundCall<'a, 'py>> {
        let given = call.positional();
        let mut bound = BoundCall {
            slots: SmallVec::from_elem(None, self.parameters.len()),
            extra_positional: &[],
            extra_keywords: Vec::new(),
        };
        if given.len() > self.positional {
            if !self.var_positional {
                return None;
            }
            bound.extra_positional = &given[self.positional..];
        }
        for (slot, value) in bound.slots.iter_mut().zip(&given[..given.len().min(self.positional)]) {
            *slot = Some(*value);
        }
        for (name, value) in call.keywords() {
            match self.named(name) {
                Some(index) if bound.slots[index].is_some() => return None,
                Some(index) => bound.slots[index] = Some(value),
                None if self.var_keyword => bound.extra_keywords.push((name, value)),
                None => return None,
            }
        }
        for (slot, parameter) in bound.slots.iter_mut().zip(&self.parameters) {
            if slot.is_none() {
                let default = parameter.default.as_ref()?;
                *slot = Some(default.bind_borrowed(call.py));
            }
        }
        Some(bound)
    }

    fn named(&self, name: Borrowed<'_, '_, PyString>) -> Option<usize> {
        let can = |parameter: &Parameter| parameter.kind != Kind::PositionalOnly;
        self.parameters
            .iter()
            .position(|parameter| parameter.name.as_ptr() == name.as_ptr() && can(parameter))
            .or_else(|| {
                let (py, name) = (name.py(), name.to_str().ok()?);
                self.parameters.iter().position(|parameter| {
                    can(parameter) && parameter.name.bind(py).to_str().is_ok_and(|own| own == name)
                })
            })
    }

    /// Calls `function` with the arguments of `call` that it names; all of them if `wanted` is `None`.
    /// `*args` is one of them, a tuple under its own name, and so is `**kwargs` if it is named.
    pub(crate) fn call_with<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        wanted: Option<&[String]>,
        call: Call<'_, 'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = function.py();
        let Some(bound) = self.bind(call) else { return Ok(None) };
        let is_named = |name: &Bound<'py, PyString>| {
            wanted.is_some_and(|wanted| name.to_str().is_ok_and(|name| wanted.iter().any(|own| own == name)))
        };
        let is_wanted = |name: &Bound<'py, PyString>| wanted.is_none() || is_named(name);
        let arguments = PyDict::new(py);
        for (name, value) in &bound.extra_keywords {
            if is_wanted(name) {
                arguments.set_item(name, value)?;
            }
        }
        if let Some(name) = self.var_keyword_name.as_ref().map(|name| name.bind(py))
            && is_named(name)
        {
            let extra = PyDict::new(py);
            for (name, value) in &bound.extra_keywords {
                extra.set_item(name, value)?;
            }
            arguments.set_item(name, extra)?;
        }
        if let Some(name) = self.var_positional_name.as_ref().map(|name| name.bind(py))
            && is_wanted(name)
        {
            arguments.set_item(name, PyTuple::new(py, bound.extra_positional)?)?;
        }
        // Last: a name that a positional-only parameter shares with one of `**kwargs` means the parameter.
        for (slot, parameter) in bound.slots.iter().zip(&self.parameters) {
            let name = parameter.name.bind(py);
            if let (Some(value), true) = (slot, is_wanted(name)) {
                arguments.set_item(name, value)?;
            }
        }
        function.call((), Some(&arguments)).map(Some)
    }

    #[cold]
    fn explain(&self, index: usize, value: &Bound<'_, PyAny>, error: &PyErr) -> PyErr {
        let py = value.py();
        self.explain_extra(&self.parameters[index].name.bind(py).to_string_lossy(), value, error)
    }

    #[cold]
    fn explain_extra(&self, name: &str, value: &Bound<'_, PyAny>, error: &PyErr) -> PyErr {
        let py = value.py();
        // A user's own `__zoocache_key__` may raise anything; that is passed on as it is.
        if !error.is_instance_of::<PyValueError>(py) {
            return error.clone_ref(py);
        }
        let explained = PyValueError::new_err(format!(
            "{}(): the argument {name:?} cannot be part of a cache key: {}",
            self.function,
            error.value(py)
        ));
        explained.set_cause(
            py,
            error
                .value(py)
                .getattr("__cause__")
                .ok()
                .and_then(|cause| (!cause.is_none()).then(|| PyErr::from_value(cause))),
        );
        explained
    }
}

/// The arguments of `tp_call`, as a [`Call`].
pub(crate) struct Collected<'py> {
    values: Vec<Bound<'py, PyAny>>,
    names: Option<Bound<'py, PyTuple>>,
}

impl<'py> Collected<'py> {
    /// Flattens a tuple and a dictionary of arguments.
    pub(crate) fn new(args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let mut values: Vec<_> = args.iter().collect();
        let mut names = Vec::new();
        for (name, value) in kwargs.into_iter().flat_map(PyDictMethods::iter) {
            names.push(name);
            values.push(value);
        }
        let names = if names.is_empty() { None } else { Some(PyTuple::new(args.py(), names)?) };
        Ok(Self { values, names })
    }

    /// Borrows it as a call.
    pub(crate) fn with<R>(&self, py: Python<'py>, use_call: impl FnOnce(Call<'_, 'py>) -> R) -> R {
        let values: SmallVec<[Borrowed<'_, 'py, PyAny>; 8]> =
            self.values.iter().map(|value| value.as_borrowed()).collect();
        let names = self.names.as_ref().map(|names| names.as_borrowed());
        use_call(Call { py, values: &values, names })
    }
}

/// A `Call` from the pieces of a vectorcall.
///
/// # Safety
/// The pointers must be those of a vectorcall that is in progress: `args` holds `positional` objects and
/// one more for each name in `names`, all alive until the call returns.
#[expect(unsafe_code, reason = "the interpreter's calling convention")]
pub(crate) unsafe fn from_vectorcall<'a, 'py>(
    py: Python<'py>,
    args: *const *mut ffi::PyObject,
    positional: usize,
    names: *mut ffi::PyObject,
) -> Call<'a, 'py> {
    // SAFETY: promised by the caller; `Borrowed` is a transparent pointer to a live object.
    unsafe {
        let names = Borrowed::from_ptr_or_opt(py, names).map(|names| names.cast_unchecked::<PyTuple>());
        let count = positional + names.map_or(0, |names| names.len());
        let values = if count == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(args.cast::<Borrowed<'a, 'py, PyAny>>(), count)
        };
        Call { py, values, names }
    }
}
