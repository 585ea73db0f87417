//! The functions of the resource `engine`.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

use serde_json::{Value, json};
use zoocache_core::{ClockError, Engine, Header, MarkId, SettleError, SnapshotError, Timestamp};

use crate::resources::{Entry, Fill, Resource};
use crate::values::{
    OK, Stop, applied_out, bytes_in, bytes_out, config_in, domain_in, domain_out, fault, gives, header_error,
    judgement, list_in, message_in, message_out, number_in, number_out, ok, position_in, position_out,
    rejected_out, rows_in, state_out, tag_in, tags_in, text_in,
};
use crate::vector::Run;

/// An engine, and whoever needs it.
#[derive(Clone)]
pub(crate) struct Shared(Rc<RefCell<Engine>>);

impl Shared {
    pub(crate) fn new(engine: Engine) -> Self {
        Self(Rc::new(RefCell::new(engine)))
    }

    pub(crate) fn borrow(&self) -> Ref<'_, Engine> {
        self.0.borrow()
    }

    pub(crate) fn borrow_mut(&self) -> RefMut<'_, Engine> {
        self.0.borrow_mut()
    }
}

/// Calls a function of an engine.
pub(crate) fn call(run: &mut Run, engine: &Shared, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match name {
        "restore" | "begin" | "seal" | "admit" => making(run, engine, name, arguments),
        "judge" | "judge-many" | "explain" | "latest" | "tail" | "snapshot" | "state" | "stats" => {
            asking(&mut engine.borrow_mut(), name, arguments)
        }
        "apply" | "catch-up" | "apply-log" | "settle-at" => {
            from_elsewhere(&mut engine.borrow_mut(), name, arguments)
        }
        "invalidate" | "clear" | "change" | "settle" | "expire-marks" | "prune" => {
            changing(&mut engine.borrow_mut(), name, arguments)
        }
        _ => silent(&mut engine.borrow_mut(), name, arguments),
    }
}

const UNKNOWN: &str = "an engine has no such function, or with other arguments";

/// What returns a resource.
fn making(run: &mut Run, shared: &Shared, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match (name, arguments) {
        ("restore", [config, bytes]) => match Engine::restore(config_in(config)?, &bytes_in(bytes)?) {
            Ok(engine) => Ok(ok(run.keep(Resource::Engine(Shared::new(engine))))),
            Err(error) => gives(snapshot_error(error)),
        },
        ("begin", [now]) => {
            let begun = shared.borrow_mut().begin(number_in(now)?);
            let as_of = begun.as_of();
            Ok(run.keep(Resource::Fill(Fill { engine: shared.clone(), begun: Some(begun), as_of })))
        }
        ("seal", [fill, dependencies, bound, now]) => {
            let Resource::Fill(fill) = run.take(fill)? else { return fault("only a fill is sealed") };
            let sealed = seal(shared, fill, dependencies, bound, number_in(now)?)?;
            Ok(ok(run.keep(Resource::Entry(Entry { engine: shared.clone(), sealed }))))
        }
        ("admit", [bytes, now]) => {
            let header = header_of(bytes).or_else(|error| gives(json!({ "bad-header": error })))?;
            let engine = &mut *shared.borrow_mut();
            match engine.admit(&header, number_in(now)?) {
                Ok(sealed) => Ok(ok(run.keep(Resource::Entry(Entry { engine: shared.clone(), sealed })))),
                Err(rejected) => gives(rejected_out(&rejected, engine)),
            }
        }
        _ => fault(UNKNOWN),
    }
}

fn seal(
    shared: &Shared,
    mut fill: Fill,
    dependencies: &Value,
    bound: &Value,
    now: u64,
) -> Result<zoocache_core::Sealed, Stop> {
    if !Rc::ptr_eq(&fill.engine.0, &shared.0) {
        return gives(json!({ "verdict": "foreign" }));
    }
    let tags = tags_in(dependencies)?;
    let engine = &mut *shared.borrow_mut();
    let dependencies: Vec<_> = tags.iter().map(|tag| engine.intern(tag)).collect();
    let bound = if bound.is_null() { Timestamp::MAX } else { position_in(bound)? };
    let Some(begun) = fill.begun.take() else { return fault("the fill has ended") };
    let sealed = engine.seal(begun, &dependencies, bound, now);
    sealed.or_else(|rejected| gives(rejected_out(&rejected, engine)))
}

/// What asks.
fn asking(engine: &mut Engine, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match (name, arguments) {
        ("judge", [bytes, now]) => judge(engine, bytes, number_in(now)?),
        ("judge-many", [headers, now]) => {
            let now = number_in(now)?;
            let judged = list_in(headers)?.iter().map(|bytes| match judge(engine, bytes, now) {
                Err(Stop::Gives(error)) => Ok(json!({ "err": error })),
                judged => judged,
            });
            judged.collect()
        }
        ("explain", [bytes, now]) => {
            let header = header_of(bytes).or_else(gives)?;
            let verdict = judgement(engine, &header, number_in(now)?);
            let dependencies: Vec<_> = engine.explain_header(&header).iter().map(state_out).collect();
            let as_of = position_out(header.as_of);
            Ok(ok(json!({ "verdict": verdict, "as-of": as_of, "dependencies": dependencies })))
        }
        ("latest", [text]) => match tag_in(text_in(text)?, 0) {
            Ok(tag) => Ok(ok(position_out(engine.latest(&tag)))),
            Err(error) => gives(error),
        },
        ("tail", [after]) => {
            let tail = engine.tail(position_in(after)?);
            let messages: Vec<_> = tail.messages.iter().map(message_out).collect();
            let to = position_out(tail.to);
            Ok(json!({ "messages": messages, "to": to, "is-complete": tail.is_complete }))
        }
        ("snapshot", []) => Ok(bytes_out(&engine.snapshot())),
        ("state", []) => Ok(state(engine)),
        ("stats", []) => Ok(stats(engine)),
        _ => fault(UNKNOWN),
    }
}

fn judge(engine: &mut Engine, bytes: &Value, now: u64) -> Result<Value, Stop> {
    let header = header_of(bytes).or_else(gives)?;
    Ok(ok(judgement(engine, &header, now)))
}

fn header_of(bytes: &Value) -> Result<Header, Value> {
    // What is no list of bytes is not read as one.
    let bytes = bytes_in(bytes).map_err(|stop| json!(stop.to_string()))?;
    Header::decode(&bytes).map(|(header, _)| header).map_err(header_error)
}

/// What changes answers here.
fn changing(engine: &mut Engine, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match (name, arguments) {
        ("invalidate", [tags, now]) => {
            at(engine.invalidate(&tags_in(tags)?, number_in(now)?).map_err(SettleError::from))
        }
        ("clear", [now]) => at(engine.clear(number_in(now)?).map_err(SettleError::from)),
        ("change", [tags, deadline, now]) => {
            let mark = engine.change(&tags_in(tags)?, number_in(deadline)?, number_in(now)?);
            Ok(ok(number_out(mark.0)))
        }
        ("settle", [mark, now]) => at(engine.settle(MarkId(number_in(mark)?), number_in(now)?)),
        ("expire-marks", [now]) => match engine.expire_marks(number_in(now)?) {
            Ok(count) => Ok(ok(count)),
            Err(error) => refused(error),
        },
        ("prune", [horizon, budget]) => {
            let budget = usize::try_from(number_in(budget)?).unwrap_or(usize::MAX);
            Ok(json!(engine.prune(position_in(horizon)?, budget)))
        }
        _ => fault(UNKNOWN),
    }
}

/// What others know.
fn from_elsewhere(engine: &mut Engine, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match (name, arguments) {
        ("apply", [message, now]) => match engine.apply(&message_in(message)?, number_in(now)?) {
            Ok(applied) => Ok(ok(applied_out(&applied))),
            Err(error) => refused(error),
        },
        ("catch-up", [bytes, now]) => {
            let header = header_of(bytes).or_else(|error| gives(json!({ "bad-header": error })))?;
            match engine.catch_up(&header, number_in(now)?) {
                Ok(count) => Ok(ok(count)),
                Err(error) => refused(error),
            }
        }
        ("apply-log", [rows, to]) => {
            let rows = rows_in(rows)?;
            if to.is_null() {
                engine.apply_rows(&rows);
            } else {
                engine.apply_log(&rows, position_in(to)?);
            }
            Ok(json!(OK))
        }
        ("settle-at", [mark, at]) => match engine.settle_at(MarkId(number_in(mark)?), position_in(at)?) {
            Ok(()) => Ok(json!(OK)),
            Err(error) => refused(error),
        },
        _ => fault(UNKNOWN),
    }
}

/// What has no result.
fn silent(engine: &mut Engine, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
    match (name, arguments) {
        ("doubt", []) => engine.doubt(),
        ("raise-floor", [floor]) => engine.raise_floor(position_in(floor)?),
        ("reset-domain", [domain, floor]) => engine.reset_domain(domain_in(domain)?, position_in(floor)?),
        ("set-horizon", [horizon]) => engine.set_horizon(position_in(horizon)?),
        ("forget-fills", []) => engine.forget_fills(),
        _ => return fault(UNKNOWN),
    }
    Ok(Value::Null)
}

fn at(given: Result<Timestamp, SettleError>) -> Result<Value, Stop> {
    given.map_or_else(refused, |at| Ok(ok(position_out(at))))
}

/// Why a call changed nothing.
fn refused(error: impl Into<SettleError>) -> Result<Value, Stop> {
    match error.into() {
        SettleError::Unknown(_) => gives("unknown-mark"),
        SettleError::Clock(ClockError::Exhausted) => gives("clock-exhausted"),
        other => fault(other.to_string()),
    }
}

fn snapshot_error(error: SnapshotError) -> Value {
    match error {
        SnapshotError::NoSnapshot => json!("no-snapshot"),
        SnapshotError::Truncated => json!("truncated"),
        SnapshotError::Malformed => json!("malformed"),
        SnapshotError::Foreign { domain } => json!({ "foreign": domain_out(domain) }),
        other => json!(other.to_string()),
    }
}

fn state(engine: &Engine) -> Value {
    let signals = engine.signals();
    json!({
        "epoch": number_out(signals.epoch()),
        "applied": position_out(signals.applied()),
        "clock": position_out(engine.stats().clock),
        "floor": position_out(signals.floor()),
        "generation": signals.generation(),
        "in-doubt": signals.in_doubt(),
    })
}

fn stats(engine: &Engine) -> Value {
    let stats = engine.stats();
    json!({
        "state": state(engine),
        "nodes": stats.nodes,
        "running-fills": stats.running_fills,
        "pending-marks": stats.pending_marks,
        "drift-refused": stats.drift_refused,
        "duplicates": stats.duplicates,
        "missed": stats.missed,
        "pruned": stats.pruned,
        "marks-expired": stats.marks_expired,
        "rejected-stale": stats.rejected_stale,
    })
}
