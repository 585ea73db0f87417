//! Hostile arguments: whatever it is called with, the component answers. `ZOOCACHE_FUZZ_SECONDS` says for how long it is
//! tried (5), `ZOOCACHE_SEED` repeats one run.
#![expect(clippy::disallowed_methods, reason = "it goes on for a time")]

use std::time::{Duration, Instant};

use fastrand::Rng;
use wasmtime::Result;
use wasmtime::Store;
use wasmtime::component::ResourceAny;
use wasmtime::error::Context;
use zoocache_hosts_rust::{Built, EngineComponent, engine, headers, setting, types};

const TIMES: [u64; 8] = [0, 1, 1_000_000, (1 << 53) - 2, (1 << 53) - 1, 1 << 53, u64::MAX - 1, u64::MAX];

fn time(rng: &mut Rng) -> u64 {
    let bits = rng.u32(1..64);
    if rng.bool() { TIMES[rng.usize(..TIMES.len())] } else { rng.u64(..1 << bits) }
}

/// Of every length, of characters that tags have and of others.
fn tag(rng: &mut Rng) -> String {
    const GOOD: &[char] = &['a', 'b', 'ü', '1', ':', ':', '.', '-', '/', '*'];
    let length = match rng.u8(..8) {
        0 => rng.usize(..2_000),
        1 => rng.usize(250..260),
        _ => rng.usize(..12),
    };
    let other = rng.u8(..10) == 0;
    (0..length).map(|_| if other { rng.char(..) } else { GOOD[rng.usize(..GOOD.len())] }).collect()
}

fn tags(rng: &mut Rng) -> Vec<String> {
    let count = if rng.u8(..50) == 0 { rng.usize(..3_000) } else { rng.usize(..4) };
    (0..count)
        .map(|_| if rng.bool() { tag(rng) } else { ["a", "a:b", "a:b:c", "*"][rng.usize(..4)].to_owned() })
        .collect()
}

/// Noise, or something valid with some bytes changed, cut off or put in.
fn damaged(rng: &mut Rng, valid: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = match valid.get(rng.usize(..=valid.len())) {
        Some(valid) => valid.clone(),
        None => (0..rng.usize(..200)).map(|_| rng.u8(..)).collect(),
    };
    for _ in 0..rng.usize(..4) {
        if bytes.is_empty() {
            break;
        }
        let place = rng.usize(..bytes.len());
        match rng.u8(..4) {
            0 => bytes[place] ^= 1 << rng.u8(..8),
            1 => bytes.truncate(place),
            2 => bytes[place] = 0xff,
            _ => bytes.insert(place, rng.u8(..)),
        }
    }
    bytes
}

/// As a snapshot ends, so that not only its checksum is looked at.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(8));
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

struct Hostile<'a> {
    store: &'a mut Store<()>,
    api: &'a EngineComponent,
    engine: ResourceAny,
    fills: Vec<ResourceAny>,
    entries: Vec<ResourceAny>,
    headers: Vec<Vec<u8>>,
    snapshots: Vec<Vec<u8>>,
}

fn config(rng: &mut Rng) -> engine::Config {
    engine::Config {
        domain: types::DomainId { high: 0, low: rng.u64(..2) },
        order: [engine::Order::Alone, engine::Order::Log, engine::Order::Gossip][rng.usize(..3)],
        max_drift: time(rng),
        hash_seed: rng.u64(..),
        node_id: rng.u64(..3),
        entries_outside: rng.bool(),
    }
}

impl Hostile<'_> {
    fn call(&mut self, rng: &mut Rng) -> wasmtime::Result<()> {
        let (guest, engine) = (self.api.zoocache_engine_engine(), self.engine);
        let now = time(rng);
        let store = &mut *self.store;
        match rng.u8(..26) {
            0 => self.fills.push(guest.engine().call_begin(store, engine, now)?),
            1 | 2 if !self.fills.is_empty() => {
                let fill = self.fills.swap_remove(rng.usize(..self.fills.len()));
                let bound = rng.bool().then(|| time(rng));
                let sealed = guest.engine().call_seal(store, engine, fill, &tags(rng), bound, now)?;
                self.entries.extend(sealed.ok());
            }
            3 => drop(guest.engine().call_judge(store, engine, &damaged(rng, &self.headers), now)?),
            4 => {
                let many: Vec<_> = (0..rng.usize(..20)).map(|_| damaged(rng, &self.headers)).collect();
                drop(guest.engine().call_judge_many(store, engine, &many, now)?);
            }
            5 => {
                let admitted = guest.engine().call_admit(store, engine, &damaged(rng, &self.headers), now)?;
                self.entries.extend(admitted.ok());
            }
            6 => drop(guest.engine().call_explain(store, engine, &damaged(rng, &self.headers), now)?),
            7 | 8 => drop(guest.engine().call_invalidate(store, engine, &tags(rng), now)?),
            9 => drop(guest.engine().call_change(store, engine, &tags(rng), time(rng), now)?),
            10 => drop(guest.engine().call_settle(store, engine, rng.u64(..9), now)?),
            11 => drop(guest.engine().call_settle_at(store, engine, rng.u64(..9), time(rng))?),
            12 => {
                let message = engine::Invalidation { origin: rng.u64(..4), at: time(rng), tags: tags(rng) };
                let _ = guest.engine().call_apply(store, engine, &message, now)?;
            }
            13 => drop(guest.engine().call_tail(store, engine, time(rng))?),
            14 => drop(guest.engine().call_catch_up(store, engine, &damaged(rng, &self.headers), now)?),
            15 => {
                let tags = tags(rng);
                let row = |tag| engine::LogRow { tag, below_only: rng.bool(), at: time(rng) };
                let rows: Vec<_> = tags.into_iter().map(row).collect();
                let to = rng.bool().then(|| time(rng));
                let _ = guest.engine().call_apply_log(store, engine, &rows, to)?;
            }
            16 => drop(guest.engine().call_prune(store, engine, time(rng), rng.u32(..))?),
            17 => drop(guest.engine().call_latest(store, engine, &tag(rng))?),
            18 => match rng.u8(..4) {
                0 => guest.engine().call_doubt(store, engine)?,
                1 => guest.engine().call_raise_floor(store, engine, time(rng))?,
                2 => guest.engine().call_set_horizon(store, engine, time(rng))?,
                _ => guest.engine().call_forget_fills(store, engine)?,
            },
            19 => self.snapshots.push(guest.engine().call_snapshot(store, engine)?),
            20 => {
                let bytes = damaged(rng, &self.snapshots);
                let bytes = if rng.bool() { with_checksum(bytes) } else { bytes };
                if let Ok(restored) = guest.engine().call_restore(&mut *store, config(rng), &bytes)? {
                    std::mem::replace(&mut self.engine, restored).resource_drop(&mut *store)?;
                }
            }
            21 if !self.entries.is_empty() => {
                let entry = self.entries[rng.usize(..self.entries.len())];
                drop(guest.entry().call_judge(&mut *store, entry)?);
                self.headers.extend(guest.entry().call_header(&mut *store, entry, now, time(rng))?);
            }
            22 => drop(self.api.zoocache_engine_tags().call_check_tag(store, &tag(rng))?),
            23 => {
                let tags = tags(rng);
                let (as_of, expires) = (rng.u64(..), rng.u64(..));
                let dependency = |tag| headers::Dependency { tag, stamp: time(rng) };
                let header = headers::Header {
                    domain: types::DomainId { high: 0, low: 0 },
                    as_of,
                    created: now,
                    expires,
                    dependencies: tags.into_iter().map(dependency).collect(),
                };
                self.headers
                    .extend(self.api.zoocache_engine_headers().call_encode_header(store, &header)?.ok());
            }
            24 => {
                let bytes = damaged(rng, &self.headers);
                drop(self.api.zoocache_engine_headers().call_decode_header(store, &bytes)?);
            }
            _ => {
                guest.engine().call_state(&mut *store, engine)?;
                guest.engine().call_stats(&mut *store, engine)?;
                if rng.u8(..20) == 0 {
                    let domain = types::DomainId { high: 0, low: rng.u64(..2) };
                    guest.engine().call_reset_domain(store, engine, domain, now)?;
                }
            }
        }
        self.forget_some(rng)
    }

    fn forget_some(&mut self, rng: &mut Rng) -> wasmtime::Result<()> {
        for list in [&mut self.fills, &mut self.entries] {
            while list.len() > 40 {
                list.swap_remove(rng.usize(..list.len())).resource_drop(&mut *self.store)?;
            }
        }
        self.headers.truncate(40);
        self.snapshots.truncate(5);
        Ok(())
    }
}

#[test]
fn nothing_makes_it_trap() -> Result<()> {
    let built = Built::read()?;
    let seed = setting("ZOOCACHE_SEED", fastrand::u64(..1_000_000_007));
    let until = Instant::now() + Duration::from_secs(setting("ZOOCACHE_FUZZ_SECONDS", 5));
    let (mut calls, mut rounds) = (0_u64, 0);
    while Instant::now() < until {
        let mut rng = Rng::with_seed(seed + rounds);
        let (mut store, api) = built.start()?;
        let made = config(&mut rng);
        let engine = api.zoocache_engine_engine().engine().call_constructor(&mut store, made)?;
        let (fills, entries, headers, snapshots) = <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
        let mut hostile =
            Hostile { store: &mut store, api: &api, engine, fills, entries, headers, snapshots };
        for _ in 0..2_000 {
            hostile.call(&mut rng).with_context(|| format!("ZOOCACHE_SEED={}", seed + rounds))?;
            calls += 1;
        }
        rounds += 1;
    }
    println!("{calls} hostile calls in {rounds} instances: no trap");
    Ok(())
}
