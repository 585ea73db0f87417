//! What goes wrong where entries rest outside of the process: logged at most once a minute, never raised by
//! a cached function, apart from a storage that is too small for any entry.
//!
//! The host tells of it with locks held that a log handler must not meet, and on threads of its own. So it is
//! noted here, and logged by the next operation that holds the interpreter's lock anyway.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use zoocache::lock::Mutex;
use zoocache::{SystemClock, WallClock};

use crate::errors::Class;
use crate::imported::Imported;

/// Between two lines of the log.
const INTERVAL_MS: u64 = 60_000;

/// What has not been logged yet.
pub(crate) struct Troubles {
    /// What there is trouble with.
    subject: &'static str,
    any: AtomicBool,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    count: u64,
    latest: String,
    logged_ms: Option<u64>,
    /// The cache began empty: said at once, and once.
    started_over: Option<String>,
}

thread_local! {
    /// What the operation that runs on this thread must raise.
    static TO_RAISE: RefCell<Option<String>> = const { RefCell::new(None) };
}

impl Troubles {
    pub(crate) fn of(subject: &'static str) -> Self {
        Self { subject, any: AtomicBool::new(false), noted: Mutex::default() }
    }

    /// Notes a failure of the storage.
    pub(crate) fn note(&self, what: String) {
        let mut noted = self.noted.lock();
        noted.count += 1;
        noted.latest = what;
        self.any.store(true, Ordering::Release);
    }

    /// Notes that what was stored is gone.
    pub(crate) fn note_start(&self, cause: &str) {
        self.noted.lock().started_over = Some(cause.to_owned());
        self.any.store(true, Ordering::Release);
    }

    /// Logs what was noted, unless something was logged a moment ago.
    #[inline]
    pub(crate) fn log(&self, py: Python<'_>) {
        if self.any.load(Ordering::Acquire) {
            self.log_now(py);
        }
    }

    #[cold]
    fn log_now(&self, py: Python<'_>) {
        let lines = self.noted.lock().lines(self.subject, SystemClock.monotonic_ms());
        let Some((lines, is_all)) = lines else { return };
        if is_all {
            self.any.store(false, Ordering::Release);
        }
        for line in lines {
            if let Err(error) = warn(py, &line) {
                error.write_unraisable(py, None);
            }
        }
    }
}

impl Noted {
    /// What is to be logged now, and whether nothing is left then.
    fn lines(&mut self, subject: &str, now_ms: u64) -> Option<(Vec<String>, bool)> {
        let mut lines = Vec::new();
        if let Some(cause) = self.started_over.take() {
            lines.push(format!("zoocache begins empty: {cause}"));
        }
        let is_due = self.logged_ms.is_none_or(|logged_ms| now_ms.saturating_sub(logged_ms) >= INTERVAL_MS);
        if self.count > 0 && is_due {
            let times = if self.count == 1 { String::new() } else { format!(" ({} times)", self.count) };
            lines.push(format!("zoocache goes on without its {subject}{times}: {}", self.latest));
            self.count = 0;
            self.logged_ms = Some(now_ms);
        }
        (!lines.is_empty()).then_some((lines, self.count == 0))
    }
}

fn warn(py: Python<'_>, line: &str) -> PyResult<()> {
    static LOGGER: Imported = Imported::new("zoocache._log", "logger");
    LOGGER.get(py)?.call_method1("warning", ("%s", line)).map(drop)
}

/// Lets the operation that runs on this thread say that nothing can ever be stored.
pub(crate) fn raise_later(why: String) {
    TO_RAISE.set(Some(why));
}

/// The exception that the operation on this thread must end with, if there is one.
pub(crate) fn raised() -> PyResult<()> {
    TO_RAISE.take().map_or(Ok(()), |why| Err(Class::StorageIsFull.err(why)))
}
