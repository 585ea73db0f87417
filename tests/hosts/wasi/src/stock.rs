//! The shop in a host that is made of wasmtime's crates alone.

use std::time::Instant;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime::{Result, ensure};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_keyvalue::{WasiKeyValue, WasiKeyValueCtx, WasiKeyValueCtxBuilder};

use crate::checks::Checks;

const EXPECTED: &str = include_str!("../tour.txt");

const HITS: u32 = 200_000;

struct Stock {
    wasi: WasiCtx,
    keyvalue: WasiKeyValueCtx,
    table: ResourceTable,
}

impl WasiView for Stock {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs the shop; `rows` are in the bucket. Returns what it printed.
fn run(engine: &Engine, shop: &Component, arguments: &[&str], rows: &[(&str, &[u8])]) -> Result<String> {
    let mut linker = Linker::<Stock>::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    wasmtime_wasi_keyvalue::add_to_linker(&mut linker, |stock| {
        WasiKeyValue::new(&stock.keyvalue, &mut stock.table)
    })?;
    let printed = MemoryOutputPipe::new(1 << 20);
    let arguments: Vec<&str> = ["shop"].iter().chain(arguments).copied().collect();
    let stock = Stock {
        wasi: WasiCtx::builder().stdout(printed.clone()).inherit_stderr().args(&arguments).build(),
        keyvalue: WasiKeyValueCtxBuilder::new().in_memory_data(rows.iter().copied()).build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(engine, stock);
    let command = Command::instantiate(&mut store, shop, &linker)?;
    let ended = command.wasi_cli_run().call_run(&mut store)?;
    ensure!(ended.is_ok(), "the shop failed");
    Ok(String::from_utf8(printed.contents().to_vec())?)
}

/// The tour, line by line; and once more in a bucket where something lies that the cache did not put there.
pub(crate) fn tour(engine: &Engine, shop: &Component, checks: &mut Checks) -> Result<()> {
    let printed = run(engine, shop, &[], &[])?;
    let mut lines = printed.lines();
    for expected in EXPECTED.lines() {
        checks.equal("the shop", lines.next(), Some(expected));
    }
    checks.equal("the shop, after its end", lines.next(), None);

    let rows = ["product:7", "product:8", "page", "greeting"].map(|key| format!("zoocache/1/{key}"));
    let found = rows.each_ref().map(|row| (row.as_str(), b"Z\x01damaged".as_slice()));
    checks.equal("the shop over a damaged bucket", run(engine, shop, &[], &found)?, printed);
    Ok(())
}

/// Of many, without what starts and ends the shop.
#[expect(clippy::disallowed_methods, reason = "measures how long it takes")]
pub(crate) fn nanos_per_hit(engine: &Engine, shop: &Component) -> Result<u128> {
    let mut took = [0, 0];
    for (took, count) in took.iter_mut().zip([0, HITS]) {
        let begin = Instant::now();
        let printed = run(engine, shop, &["hits", &count.to_string()], &[])?;
        ensure!(printed == format!("{count} hits\n"), "not all were hits: {printed}");
        *took = begin.elapsed().as_nanos();
    }
    Ok((took[1].saturating_sub(took[0])) / u128::from(HITS))
}
