//! The interface `cache`, by calls of the one cache.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::Component;
use super::bindings::exports::zoocache::engine::cache as wit;
use super::cache::{Cache, Finished, Running};
use super::single::with_cache;

pub(super) struct Fill {
    /// Taken when it is finished.
    begun: Option<crate::Fill>,
    running: Rc<Running>,
}

impl wit::GuestFill for Fill {}

impl Drop for Fill {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            with_cache(|cache| cache.abandon(begun, &self.running));
        }
    }
}

impl wit::Guest for Component {
    type Fill = Fill;

    fn get(key: String, within: Option<wit::FillBorrow<'_>>) -> Option<Vec<u8>> {
        let within = within.as_ref().map(|fill| &*fill.get::<Fill>().running);
        with_cache(|cache| cache.get(&key, within))
    }

    fn begin_fill(key: String, within: Option<wit::FillBorrow<'_>>) -> wit::Fill {
        let within = within.map(|fill| fill.get::<Fill>().running.clone());
        let (begun, running) = with_cache(|cache| cache.begin(key, within));
        wit::Fill::new(Fill { begun: Some(begun), running })
    }

    fn finish_fill(
        fill: wit::Fill,
        value: Vec<u8>,
        dependencies: Vec<String>,
        ttl: Option<u64>,
    ) -> Result<(), wit::NotStored> {
        let mut fill: Fill = fill.into_inner();
        let begun = fill.begun.take().expect("invariant: only finishing takes it, and ends the fill");
        let finished = Finished { value, dependencies, ttl };
        with_cache(|cache| cache.finish(begun, &fill.running, &finished))
    }

    fn abandon_fill(fill: wit::Fill) {
        drop(fill);
    }

    fn invalidate(tags: Vec<String>) -> Result<wit::Invalidated, wit::Refused> {
        with_cache(|cache| cache.invalidate(&tags))
    }

    fn clear() -> Result<wit::Invalidated, wit::Refused> {
        with_cache(Cache::clear)
    }

    fn explain(key: String) -> Option<wit::Explanation> {
        with_cache(|cache| cache.explain(&key))
    }
}
