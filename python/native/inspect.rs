//! What `zoocache.inspect` is made of: entries, tags, past invalidations and sizes, as plain tuples and dictionaries.
//!
//! Nothing here decodes a value into objects of a program's classes, except for those that lie in this process's memory
//! as objects already.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use zoocache::sequencer::{Invalidated, Wanted};
use zoocache::{Answer, EntryState, Filter, Listed, Tag, Timestamp};

use crate::cache::{NativeCache, host, key_text};
use crate::counters::Counted;
use crate::errors::from_host;
use crate::explain;
use crate::shared;
use crate::state::State;
use crate::tags::parse_tag;

/// Does what takes its time without the interpreter's lock, whatever the storage.
fn aside<R: Send>(py: Python<'_>, state: &State, body: impl FnOnce() -> R + Send) -> R {
    if state.is_shared || state.is_far { state.unlocked(py, body) } else { crate::far::detach(py, body) }
}

fn tag_of(tag: &Bound<'_, PyAny>) -> PyResult<Tag> {
    let tag = parse_tag(tag)?;
    // What `"*"` means to `invalidate`.
    Ok(if tag.depth() == 0 { Tag::root() } else { tag })
}

/// The root as users write it.
fn shown(tag: &Tag) -> String {
    if tag.depth() == 0 { "*".to_owned() } else { tag.to_string() }
}

fn state_named(name: &str) -> Option<EntryState> {
    [EntryState::Fresh, EntryState::Stale, EntryState::Changing, EntryState::Expired]
        .into_iter()
        .find(|state| state.name() == name)
}

/// Entries from a place on: tuples of key, state, bytes, times in microseconds and tags; and where the next ones begin.
#[pyfunction]
#[pyo3(signature = (cache, prefix, tag, state, place, most))]
pub(crate) fn entries<'py>(
    py: Python<'py>,
    cache: &NativeCache,
    prefix: &str,
    tag: Option<&Bound<'py, PyAny>>,
    state: Option<&str>,
    place: &[u8],
    most: usize,
) -> PyResult<(Bound<'py, PyList>, Option<Bound<'py, PyBytes>>)> {
    let wanted = Filter {
        key_prefix: prefix.as_bytes().to_vec(),
        tag: tag.map(tag_of).transpose()?,
        state: state.and_then(state_named),
    };
    let home = cache.home.owned(py)?;
    let page = host(py, aside(py, &home, || home.cache.page(&wanted, place, most)))?;
    let listed = PyList::empty(py);
    for entry in page.entries {
        let Listed { key, state, bytes, created_us, expires_us, dependencies, .. } = entry;
        let key = String::from_utf8_lossy(&key);
        let tags: Vec<String> = dependencies.iter().map(shown).collect();
        listed.append((key, state.name(), bytes, created_us, expires_us, tags))?;
    }
    Ok((listed, page.next.map(|next| PyBytes::new(py, &next))))
}

/// What was counted: in all, and of each function a tuple. From the first call on computations are measured.
#[pyfunction]
#[expect(clippy::cast_precision_loss, reason = "durations need not be exact to the nanosecond")]
pub(crate) fn activity<'py>(
    py: Python<'py>,
    cache: &NativeCache,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>)> {
    let home = cache.home.owned(py)?;
    home.cache.measure();
    let functions = PyList::empty(py);
    for (name, counted) in cache.home.site().functions().read() {
        let Counted { hits, misses, stale, expired, errors, measured, measured_ns } = counted;
        let seconds = measured_ns as f64 / 1e9;
        functions.append((&*name, hits, misses, stale, expired, errors, measured, seconds))?;
    }
    Ok((explain::record(py, &home.cache.stats(), home.hits())?, functions))
}

/// The tags just below one, or the first ones: tuples of tag, entries, fresh ones, two positions, and whether a change is
/// announced.
#[pyfunction]
#[pyo3(signature = (cache, tag))]
pub(crate) fn tree<'py>(
    py: Python<'py>,
    cache: &NativeCache,
    tag: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let tag = tag.map(tag_of).transpose()?.unwrap_or_else(Tag::root);
    let home = cache.home.owned(py)?;
    let nodes = aside(py, &home, || home.cache.tree(&tag));
    let listed = PyList::empty(py);
    for node in nodes {
        let (at, below) = (node.at.as_micros(), node.below.as_micros());
        listed.append((node.tag.to_string(), node.entries, node.fresh, at, below, node.is_changing))?;
    }
    Ok(listed)
}

/// Past invalidations between two positions: tuples of position, tags and node.
#[pyfunction]
pub(crate) fn history<'py>(
    py: Python<'py>,
    cache: &NativeCache,
    first: u64,
    last: u64,
    most: usize,
    newest_first: bool,
) -> PyResult<Bound<'py, PyList>> {
    let bound = |us| Timestamp::checked(us).unwrap_or(Timestamp::MAX);
    let wanted = Wanted { from: bound(first), to: bound(last), most, newest_first };
    let home = cache.home.owned(py)?;
    let told = host(py, aside(py, &home, || home.cache.history(&wanted)))?;
    let listed = PyList::empty(py);
    for Invalidated { at, tags, node } in told {
        listed.append((at.as_micros(), tags.iter().map(shown).collect::<Vec<_>>(), node))?;
    }
    Ok(listed)
}

/// The value under a key, fresh or not: its bytes, or with `True` the object that lies in memory; `None` for none.
#[pyfunction]
pub(crate) fn peek<'py>(
    py: Python<'py>,
    cache: &NativeCache,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let key = key_text(key)?;
    let home = cache.home.owned(py)?;
    if home.is_shared {
        let bytes = host(py, aside(py, &home, || home.cache.value_bytes(key)))?;
        // What comes first says how the object is handed out.
        let bytes = bytes.as_deref().and_then(|bytes| bytes.get(1..));
        return bytes.map(|bytes| (false, PyBytes::new(py, bytes)).into_pyobject(py)).transpose();
    }
    let Some(entry) = home.cache.peek(key) else { return Ok(None) };
    let value = entry.value();
    let object = value.hand_out(py)?;
    let found = match shared::bytes_of(&object, value.mode()) {
        Ok(bytes) => (false, PyBytes::new(py, bytes.get(1..).unwrap_or_default())).into_pyobject(py)?,
        Err(_) => (true, object).into_pyobject(py)?,
    };
    Ok(Some(found))
}

/// The position of the latest invalidation that the cache knows of.
#[pyfunction]
pub(crate) fn position(py: Python<'_>, cache: &NativeCache) -> PyResult<u64> {
    let home = cache.home.owned(py)?;
    Ok(aside(py, &home, || {
        home.cache.keep_up();
        home.cache.position().as_micros()
    }))
}

/// Sizes of the folder, or `None` if entries do not rest in one.
#[pyfunction]
pub(crate) fn folder_facts<'py>(
    py: Python<'py>,
    cache: &NativeCache,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let home = cache.home.owned(py)?;
    let Some(facts) = host(py, aside(py, &home, || home.cache.folder()))? else { return Ok(None) };
    let record = PyDict::new(py);
    for (name, value) in [
        ("map_bytes", facts.map_bytes),
        ("used_bytes", facts.used_bytes),
        ("tags_bytes", facts.tags_bytes),
        ("max_readers", facts.max_readers),
        ("readers", facts.readers),
        ("commits", facts.commits),
    ] {
        record.set_item(name, value)?;
    }
    Ok(Some(record))
}

/// A connection to a server that is no node of a cache.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Probe(zoocache::Probe);

#[pymethods]
impl Probe {
    #[new]
    fn new(py: Python<'_>, url: &str, prefix: &str) -> PyResult<Self> {
        let probe = py.detach(|| zoocache::Probe::open(url, prefix));
        probe.map(Self).map_err(|error| from_host(py, &error.into()))
    }

    /// Sends a command; a refusal is an exception as answer, not raised.
    #[pyo3(signature = (*words))]
    fn ask<'py>(&self, py: Python<'py>, words: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let words: Vec<Vec<u8>> = words
            .iter()
            .map(|word| match word.extract::<Vec<u8>>() {
                Ok(bytes) => Ok(bytes),
                Err(_) => word.str()?.to_str().map(|text| text.as_bytes().to_vec()),
            })
            .collect::<PyResult<_>>()?;
        let answered = py.detach(|| self.0.ask(&words));
        object_of(py, answered.map_err(|error| from_host(py, &error.into()))?)
    }

    /// The name of the table of the domain.
    #[getter]
    fn table(&self) -> &str {
        self.0.table()
    }

    /// The name of the channel on which changes are told.
    #[getter]
    fn bell(&self) -> &str {
        self.0.bell()
    }

    /// The name of the stream that says who invalidated what.
    #[getter]
    fn history(&self) -> &str {
        self.0.history()
    }

    /// What all entries match, and nothing else.
    #[getter]
    fn entries(&self) -> String {
        self.0.entries()
    }

    /// The address, without user and password.
    #[getter]
    fn shown(&self) -> &str {
        self.0.shown()
    }

    /// The name of the entry of a key.
    fn entry(&self, key: &str) -> String {
        self.0.entry(key.as_bytes())
    }
}

fn object_of(py: Python<'_>, answer: Answer) -> PyResult<Bound<'_, PyAny>> {
    Ok(match answer {
        Answer::Nil => py.None().into_bound(py),
        Answer::Int(number) => number.into_pyobject(py)?.into_any(),
        Answer::Number(number) => number.into_pyobject(py)?.into_any(),
        Answer::Text(text) => PyBytes::new(py, &text).into_any(),
        Answer::List(answers) => {
            let objects = answers.into_iter().map(|answer| object_of(py, answer));
            PyList::new(py, objects.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Answer::Refused(text) => {
            let error = py.get_type::<pyo3::exceptions::PyPermissionError>();
            error.call1((text,))?
        }
    })
}
