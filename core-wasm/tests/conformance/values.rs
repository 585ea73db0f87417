//! Between values as the vectors write them and those of the engine.

use std::fmt;

use serde_json::{Value, json};
use zoocache_core::{
    Applied, Cause, DependencyState, DomainId, Engine, EngineConfig, Header, HeaderDependency, HeaderError,
    Invalidation, LogRow, Order, Rejected, Tag, TagError, Timestamp, Verdict, limits,
};

/// Why a call has no result.
pub(crate) enum Stop {
    /// It gives this `err`.
    Gives(Value),
    /// The vector, or the engine, is wrong.
    Fault(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gives(error) => write!(formatter, "expected no err\ngot      {error}"),
            Self::Fault(text) => formatter.write_str(text),
        }
    }
}

pub(crate) fn fault<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fault(text.into()))
}

pub(crate) fn gives<T>(error: impl Into<Value>) -> Result<T, Stop> {
    Err(Stop::Gives(error.into()))
}

/// What a call without a payload gives.
pub(crate) const OK: &str = "ok";

pub(crate) fn ok(value: impl Into<Value>) -> Value {
    json!({ "ok": value.into() })
}

// ---- What a vector gives to the engine

fn field<'a>(record: &'a Value, name: &str) -> Result<&'a Value, Stop> {
    record.get(name).ok_or_else(|| Stop::Fault(format!("{record} has no {name}")))
}

pub(crate) fn number_in(value: &Value) -> Result<u64, Stop> {
    // Above, not every reader of JSON takes a number for what it is.
    let exact = value.as_u64().filter(|number| *number <= Timestamp::MAX_VALID);
    let number = exact.or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    number.ok_or_else(|| Stop::Fault(format!("{value} is no number, or should be a text")))
}

pub(crate) fn position_in(value: &Value) -> Result<Timestamp, Stop> {
    number_in(value).map(Timestamp::from_micros)
}

pub(crate) fn bytes_in(value: &Value) -> Result<Vec<u8>, Stop> {
    let text = text_in(value)?;
    let pair = |place| text.get(place..place + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
    bytes.ok_or_else(|| Stop::Fault(format!("{value} is no list of bytes")))
}

pub(crate) fn text_in(value: &Value) -> Result<&str, Stop> {
    value.as_str().ok_or_else(|| Stop::Fault(format!("{value} is no text")))
}

pub(crate) fn list_in(value: &Value) -> Result<&[Value], Stop> {
    match value.as_array() {
        Some(items) => Ok(items),
        None => fault(format!("{value} is no list")),
    }
}

fn truth_in(value: &Value) -> Result<bool, Stop> {
    value.as_bool().ok_or_else(|| Stop::Fault(format!("{value} is neither true nor false")))
}

/// The tag of a text, or what is wrong with it.
pub(crate) fn tag_in(text: &str, place: usize) -> Result<Tag, Value> {
    Tag::parse(text).map_err(|error| {
        let broken = match error {
            TagError::Empty => json!("empty"),
            TagError::TooLong { length, .. } => json!({ "too-long": length }),
            TagError::TooDeep { depth } => json!({ "too-deep": depth }),
            TagError::Edge => json!("edge"),
            TagError::ConsecutiveSeparators => json!("consecutive-separators"),
            TagError::InvalidCharacter { character, .. } => {
                json!({ "invalid-character": character.to_string() })
            }
            other => json!(other.to_string()),
        };
        json!({ "place": place, "broken": broken })
    })
}

/// The tags of texts; what is wrong is given as `bad-tag`.
pub(crate) fn tags_in(texts: &Value) -> Result<Vec<Tag>, Stop> {
    let tag = |(place, text)| bad_tag(tag_in(text_in(text)?, place));
    list_in(texts)?.iter().enumerate().map(tag).collect()
}

fn bad_tag(tag: Result<Tag, Value>) -> Result<Tag, Stop> {
    tag.or_else(|error| gives(json!({ "bad-tag": error })))
}

pub(crate) fn domain_in(value: &Value) -> Result<DomainId, Stop> {
    let (high, low) = (number_in(field(value, "high")?)?, number_in(field(value, "low")?)?);
    Ok(DomainId(u128::from(high) << 64 | u128::from(low)))
}

pub(crate) fn config_in(value: &Value) -> Result<EngineConfig, Stop> {
    let mut config = EngineConfig::default();
    for (name, value) in value.as_object().into_iter().flatten() {
        match name.as_str() {
            "domain" => config.domain = domain_in(value)?,
            "order" => config.order = order_in(value)?,
            "max-drift" => config.max_drift_us = number_in(value)?,
            "hash-seed" => config.hash_seed = number_in(value)?,
            "node-id" => config.node_id = number_in(value)?,
            "entries-outside" => config.entries_outside = truth_in(value)?,
            _ => return fault(format!("a config has no {name}")),
        }
    }
    Ok(config)
}

fn order_in(value: &Value) -> Result<Order, Stop> {
    match text_in(value)? {
        "alone" => Ok(Order::Own),
        "log" => Ok(Order::Log),
        "gossip" => Ok(Order::Gossip),
        other => fault(format!("there is no order {other}")),
    }
}

pub(crate) fn message_in(value: &Value) -> Result<Invalidation, Stop> {
    let (origin, at) = (number_in(field(value, "origin")?)?, position_in(field(value, "at")?)?);
    Ok(Invalidation { origin, at, tags: tags_in(field(value, "tags")?)? })
}

pub(crate) fn rows_in(rows: &Value) -> Result<Vec<LogRow>, Stop> {
    let row = |(place, row)| {
        Ok(LogRow {
            tag: bad_tag(tag_in(text_in(field(row, "tag")?)?, place))?,
            below_only: truth_in(field(row, "below-only")?)?,
            at: position_in(field(row, "at")?)?,
        })
    };
    list_in(rows)?.iter().enumerate().map(row).collect()
}

/// A header, with what has no bytes given as `err`.
pub(crate) fn header_in(value: &Value) -> Result<Header, Stop> {
    let valid = |value| {
        let micros = number_in(value)?;
        Timestamp::checked(micros).map_or_else(|| gives(json!({ "bad-timestamp": number_out(micros) })), Ok)
    };
    let given = list_in(field(value, "dependencies")?)?;
    if given.len() > limits::MAX_DEPENDENCIES {
        return gives("too-many-dependencies");
    }
    let mut dependencies = Vec::new();
    for (place, dependency) in given.iter().enumerate() {
        let tag = match text_in(field(dependency, "tag")?)? {
            "" => Tag::root(),
            text => bad_tag(tag_in(text, place))?,
        };
        dependencies.push(HeaderDependency { tag, stamp: valid(field(dependency, "stamp")?)? });
    }
    Ok(Header {
        domain: domain_in(field(value, "domain")?)?,
        as_of: valid(field(value, "as-of")?)?,
        created_us: number_in(field(value, "created")?)?,
        expires_us: number_in(field(value, "expires")?)?,
        dependencies,
    })
}

// ---- What the engine gives

pub(crate) fn number_out(number: u64) -> Value {
    if number <= Timestamp::MAX_VALID { json!(number) } else { json!(number.to_string()) }
}

pub(crate) fn position_out(at: Timestamp) -> Value {
    json!(at.as_micros())
}

pub(crate) fn bytes_out(bytes: &[u8]) -> Value {
    let digit = |half| char::from_digit(u32::from(half), 16).unwrap_or('?');
    json!(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
}

/// A tag as it crosses: everything is `*`, since the root has no text of its own.
pub(crate) fn tag_out(tag: &Tag) -> String {
    if tag.as_str().is_empty() { "*".to_owned() } else { tag.to_string() }
}

pub(crate) fn domain_out(domain: DomainId) -> Value {
    let half = |shift: u32| u64::try_from(domain.0 >> shift & u128::from(u64::MAX)).unwrap_or_default();
    json!({ "high": number_out(half(64)), "low": number_out(half(0)) })
}

pub(crate) fn stale_out(cause: &Cause, engine: &Engine) -> Value {
    let node = engine.origin_of(cause.at).map(number_out);
    json!({ "stale": { "tag": tag_out(&cause.tag), "at": position_out(cause.at), "node": node } })
}

/// What a value that is not sealed would be judged as.
pub(crate) fn verdict_out(rejected: &Rejected, engine: &Engine) -> Value {
    match rejected {
        Rejected::Stale(cause) => stale_out(cause, engine),
        Rejected::Pending(tag) => json!({ "pending": tag_out(tag) }),
        Rejected::Foreign => json!("foreign"),
        Rejected::Expired => json!("expired"),
        Rejected::Unknown => json!("unknown"),
        other => json!(other.to_string()),
    }
}

pub(crate) fn rejected_out(rejected: &Rejected, engine: &Engine) -> Value {
    match rejected {
        Rejected::TooManyDependencies { .. } => json!("too-many-dependencies"),
        other => json!({ "verdict": verdict_out(other, engine) }),
    }
}

/// How a header is judged, with the reason.
pub(crate) fn judgement(engine: &mut Engine, header: &Header, now: u64) -> Value {
    match engine.judge(header, now) {
        Verdict::Fresh => json!("fresh"),
        Verdict::Expired => json!("expired"),
        Verdict::Unknown => json!("unknown"),
        Verdict::Foreign => json!("foreign"),
        // `admit` refuses it for the same reason, and says so; nothing else comes of it.
        other => match engine.admit(header, now) {
            Err(rejected) => verdict_out(&rejected, engine),
            Ok(_) => json!(format!("{other:?}, and admitted")),
        },
    }
}

pub(crate) fn header_error(error: HeaderError) -> Value {
    match error {
        HeaderError::NoHeader => json!("no-header"),
        HeaderError::Version { version } => json!({ "version": version }),
        HeaderError::Truncated => json!("truncated"),
        HeaderError::Malformed => json!("malformed"),
        HeaderError::TooManyDependencies { .. } => json!("too-many-dependencies"),
        other => json!(other.to_string()),
    }
}

pub(crate) fn header_out(header: &Header) -> Value {
    let dependency = |dependency: &HeaderDependency| json!({ "tag": dependency.tag.to_string(), "stamp": position_out(dependency.stamp) });
    json!({
        "domain": domain_out(header.domain),
        "as-of": position_out(header.as_of),
        "created": number_out(header.created_us),
        "expires": number_out(header.expires_us),
        "dependencies": header.dependencies.iter().map(dependency).collect::<Vec<_>>(),
    })
}

pub(crate) fn state_out(state: &DependencyState) -> Value {
    json!({
        "tag": tag_out(&state.tag),
        "latest": position_out(state.latest),
        "stale": state.stale,
        "pending": state.pending,
    })
}

pub(crate) fn message_out(message: &Invalidation) -> Value {
    json!({
        "origin": number_out(message.origin),
        "at": position_out(message.at),
        "tags": message.tags.iter().map(tag_out).collect::<Vec<_>>(),
    })
}

pub(crate) fn applied_out(applied: &Applied) -> Value {
    match applied {
        Applied::At(at) => json!({ "at": position_out(*at) }),
        Applied::Drifted { at, .. } => json!({ "drifted": position_out(*at) }),
        Applied::Duplicate => json!("duplicate"),
        other => json!(format!("{other:?}")),
    }
}
