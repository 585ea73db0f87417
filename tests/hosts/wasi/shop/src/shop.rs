//! [`Shop`]: products with prices in a table, read through the cache.

use std::collections::BTreeMap;

use super::bindings::zoocache::engine::cache::{self, Fill};

/// What is read through the cache, and whether it was there.
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) is_hit: bool,
}

pub(crate) struct Shop {
    prices: BTreeMap<u32, u32>,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self { prices: BTreeMap::from([(7, 12), (8, 30)]) }
    }

    /// One product; `within` the computation of something else that needs it.
    pub(crate) fn product(&self, number: u32, within: Option<&Fill>) -> Read {
        let key = format!("product:{number}");
        read(&key, within, |_| {
            let price = self.prices.get(&number).copied().unwrap_or_default();
            (format!("product {number} costs {price}"), vec![tag(number)])
        })
    }

    /// All of them, from the products one by one: it need not say what these depend on.
    pub(crate) fn page(&self) -> Read {
        read("page", None, |fill| {
            let products = self.prices.keys().map(|number| self.product(*number, Some(fill)).text);
            (products.collect::<Vec<_>>().join(", "), vec![CATALOGUE.to_owned()])
        })
    }

    /// Changes the table, then tells the cache.
    pub(crate) fn set_price(&mut self, number: u32, price: u32) {
        self.prices.insert(number, price);
        invalidate(tag(number));
    }

    pub(crate) fn add_product(&mut self, number: u32, price: u32) {
        self.prices.insert(number, price);
        invalidate(CATALOGUE.to_owned());
    }
}

const CATALOGUE: &str = "shop:catalogue";

pub(crate) fn tag(number: u32) -> String {
    format!("shop:product:{number}")
}

fn invalidate(tag: String) {
    let told = cache::invalidate(&[tag]);
    assert!(told.is_ok_and(|told| told.is_published));
}

/// The value of the key, computed if it is not there.
fn read(key: &str, within: Option<&Fill>, compute: impl FnOnce(&Fill) -> (String, Vec<String>)) -> Read {
    if let Some(value) = cache::get(key, within) {
        return Read { text: String::from_utf8_lossy(&value).into_owned(), is_hit: true };
    }
    let fill = cache::begin_fill(key, within);
    let (text, tags) = compute(&fill);
    let stored = cache::finish_fill(fill, text.as_bytes(), &tags, None);
    assert!(stored.is_ok(), "{stored:?}");
    Read { text, is_hit: false }
}
