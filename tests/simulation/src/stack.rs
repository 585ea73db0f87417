//! A task with a stack of its own, so that it can be suspended anywhere, also deep inside the cache.

use std::cell::{Cell, RefCell};
use std::ptr;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Enough for the cache in a debug build.
const STACK_BYTES: usize = 512 << 10;

type Way = Yielder<(), ()>;

thread_local! {
    /// The way out of the task that runs.
    static WAY: Cell<*const Way> = const { Cell::new(ptr::null()) };
    /// Stacks of tasks that have ended.
    static FREE: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// A task that runs until it suspends itself.
pub(crate) struct Stackful(Option<Coroutine<(), (), ()>>);

impl Stackful {
    pub(crate) fn new(work: Box<dyn FnOnce()>) -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        let stack = free
            .unwrap_or_else(|| DefaultStack::new(STACK_BYTES).expect("the system has memory for a stack"));
        Self(Some(Coroutine::with_stack(stack, |way: &Way, ()| {
            WAY.set(way);
            work();
        })))
    }

    /// Goes on where it was suspended. Says whether it has ended.
    pub(crate) fn resume(&mut self) -> bool {
        let outer = WAY.get();
        let ended = match self.0.as_mut().map(|coroutine| coroutine.resume(())) {
            Some(CoroutineResult::Yield(())) => false,
            Some(CoroutineResult::Return(())) | None => true,
        };
        WAY.set(outer);
        if ended && let Some(coroutine) = self.0.take() {
            FREE.with_borrow_mut(|free| free.push(coroutine.into_stack()));
        }
        ended
    }
}

impl Drop for Stackful {
    fn drop(&mut self) {
        // Of a task that is suspended when a run is given up: what its stack holds cannot be dropped any more, as locks that
        // others of them hold would be waited for.
        if let Some(coroutine) = self.0.take()
            && !coroutine.done()
        {
            std::mem::forget(coroutine);
        }
    }
}

/// Suspends the task that runs; returns when it is resumed.
pub(crate) fn suspend() {
    let way = WAY.get();
    assert!(!way.is_null(), "only tasks can be suspended");
    #[expect(
        unsafe_code,
        reason = "the code that suspends itself is called by a library that knows of no tasks"
    )]
    // SAFETY: `way` was set by the coroutine that runs now, at its beginning or below after its last suspension; it lives on
    // that coroutine's stack for as long as it runs.
    unsafe {
        (*way).suspend(());
    }
    WAY.set(way);
}
