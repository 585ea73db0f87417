//! For deterministic simulations of many threads in one: before each access to an atomic, others may run.
//!
//! Nothing happens until a thread has said [`on_step`] what a step is.

extern crate std;

use core::sync::atomic::{self, Ordering};
use std::cell::Cell;

std::thread_local! {
    static STEP: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Says what is to be done on this thread before each access to an atomic: as a rule, that others may run.
pub fn on_step(step: Option<fn()>) {
    STEP.set(step);
}

/// A place at which others may run.
#[inline]
pub fn step() {
    if let Some(step) = STEP.get() {
        step();
    }
}

macro_rules! atomics {
    ($($name:ident: $value:ty;)*) => {
        $(#[derive(Debug, Default)]
        pub(crate) struct $name(atomic::$name);

        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            #[inline]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                step();
                self.0.load(order)
            }

            #[inline]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                step();
                self.0.store(value, order);
            }
        })*
    };
}

atomics! {
    AtomicBool: bool;
    AtomicU32: u32;
    AtomicU64: u64;
}
