//! Runs the conformance vectors on the component in wasmtime, and says how long judging takes.

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

use wasmtime::{Result, ensure};
use zoocache_core::{DomainId, Engine, EngineConfig, Header, HeaderDependency, Tag, Timestamp};
use zoocache_hosts_rust::{Built, engine, types, vectors};

const HEADERS: usize = 1_000;
const CALLS: usize = 20_000;

fn main() -> Result<()> {
    let built = Built::read()?;
    let (total, failures) = vectors::run(&built);
    println!("rust (wasmtime): {} of {total} vectors", total - failures.len());
    ensure!(failures.is_empty() && total > 0, "\n\n{}\n", failures.join("\n\n"));
    let header = header()?;
    let bytes = header.encode();
    let many = vec![bytes.clone(); HEADERS];

    let mut native = Engine::new(EngineConfig { entries_outside: true, ..EngineConfig::new(DomainId(7)) });
    native.invalidate(&[Tag::parse("org:1:store:2:product:3")?], 1_000)?;
    let native_one = micros(CALLS, || {
        let decoded = Header::decode(&bytes).map(|(header, _)| native.judge(&header, 3_000));
        assert!(decoded.is_ok_and(zoocache_core::Verdict::is_fresh));
    });
    let native_many = micros(CALLS / HEADERS, || {
        for bytes in &many {
            let decoded = Header::decode(bytes).map(|(header, _)| native.judge(&header, 3_000));
            assert!(decoded.is_ok_and(zoocache_core::Verdict::is_fresh));
        }
    });

    let (mut store, api) = built.start()?;
    let guest = api.zoocache_engine_engine();
    let config = engine::Config {
        domain: types::DomainId { high: 0, low: 7 },
        order: engine::Order::Alone,
        max_drift: 500_000,
        hash_seed: 0,
        node_id: 1,
        entries_outside: true,
    };
    let component = guest.engine().call_constructor(&mut store, config)?;
    let tags = ["org:1:store:2:product:3".to_owned()];
    guest
        .engine()
        .call_invalidate(&mut store, component, &tags, 1_000)?
        .map_err(|_| wasmtime::format_err!("refused"))?;
    let one = micros(CALLS, || {
        let verdict = guest.engine().call_judge(&mut store, component, &bytes, 3_000);
        assert!(matches!(verdict, Ok(Ok(types::Verdict::Fresh))));
    });
    let all = micros(CALLS / HEADERS, || {
        let verdicts = guest.engine().call_judge_many(&mut store, component, &many, 3_000);
        assert!(verdicts.is_ok_and(|verdicts| verdicts.len() == HEADERS));
    });
    println!("  judge: {one:.2} us, natively {native_one:.2} us");
    println!(
        "  judge-many of {HEADERS}: {all:.0} us, natively {native_many:.0} us: {:.1} times",
        all / native_many
    );
    Ok(())
}

/// Of an entry that depends on three tags, three segments deep, and was sealed after what was invalidated.
fn header() -> Result<Header> {
    let dependency = |text: &str| Ok(HeaderDependency { tag: Tag::parse(text)?, stamp: Timestamp::ZERO });
    let dependencies: Result<Vec<_>, zoocache_core::TagError> =
        ["org:1:store", "org:2:store", "user:7:name"].into_iter().map(dependency).collect();
    Ok(Header {
        domain: DomainId(7),
        as_of: Timestamp::from_micros(1_000),
        created_us: 2_000,
        expires_us: 0,
        dependencies: dependencies?,
    })
}

/// The median time of one of so many calls, in microseconds, by batches.
fn micros(calls: usize, mut call: impl FnMut()) -> f64 {
    const BATCHES: usize = 15;
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..calls).for_each(|_| call());
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(calls).unwrap_or(1))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}
