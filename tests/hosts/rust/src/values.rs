//! Between the vectors' JSON and the component model's values, by the types of the functions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use wasmtime::component::{ResourceAny, Type, Val};
use wasmtime::error::Context;
use wasmtime::{Result, bail, ensure};

/// Resources by the names that a vector gives them.
pub(crate) type Names = HashMap<String, ResourceAny>;

/// What the component is called with.
pub(crate) fn val(json: &Value, of: &Type, names: &Names) -> Result<Val> {
    let wrong = || format!("{json} is no {of:?}");
    Ok(match of {
        Type::Bool => Val::Bool(json.as_bool().with_context(wrong)?),
        Type::U8 => Val::U8(u8::try_from(number(json)?)?),
        Type::U32 => Val::U32(u32::try_from(number(json)?)?),
        Type::U64 => Val::U64(number(json)?),
        Type::Char => {
            let mut characters = json.as_str().with_context(wrong)?.chars();
            Val::Char(characters.next().with_context(wrong)?)
        }
        Type::String => Val::String(json.as_str().with_context(wrong)?.to_owned()),
        Type::List(list) if list.ty() == Type::U8 => {
            Val::List(bytes(json.as_str().with_context(wrong)?)?.into_iter().map(Val::U8).collect())
        }
        Type::List(list) => {
            let items = json.as_array().with_context(wrong)?;
            Val::List(items.iter().map(|item| val(item, &list.ty(), names)).collect::<Result<_>>()?)
        }
        Type::Record(record) => {
            let object = json.as_object().with_context(wrong)?;
            ensure!(object.len() == record.fields().len(), wrong());
            let field = |field: wasmtime::component::types::Field<'_>| {
                let value = object.get(field.name).with_context(wrong)?;
                Ok((field.name.to_owned(), val(value, &field.ty, names)?))
            };
            Val::Record(record.fields().map(field).collect::<Result<_>>()?)
        }
        Type::Enum(_) => Val::Enum(json.as_str().with_context(wrong)?.to_owned()),
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(val(json, &option.ty(), names)?))),
        Type::Own(_) | Type::Borrow(_) => {
            let name = json.as_str().and_then(|text| text.strip_prefix('@')).with_context(wrong)?;
            Val::Resource(*names.get(name).with_context(|| format!("no resource {name}"))?)
        }
        other => bail!("no vector needs arguments like {other:?}"),
    })
}

/// What the component answered. A resource is noted as `new`.
pub(crate) fn json(val: &Val, of: &Type, new: &mut Option<ResourceAny>) -> Result<Value> {
    Ok(match (val, of) {
        (Val::Bool(is), _) => json!(is),
        (Val::U8(number), _) => json!(number),
        (Val::U32(number), _) => json!(number),
        (Val::U64(number), _) if *number < 1 << 53 => json!(number),
        (Val::U64(number), _) => json!(number.to_string()),
        (Val::Char(character), _) => json!(character.to_string()),
        (Val::String(text), _) => json!(text),
        (Val::List(items), Type::List(list)) if list.ty() == Type::U8 => {
            let byte =
                |item: &Val| if let Val::U8(byte) = item { format!("{byte:02x}") } else { String::new() };
            json!(items.iter().map(byte).collect::<String>())
        }
        (Val::List(items), Type::List(list)) => {
            Value::Array(items.iter().map(|item| json(item, &list.ty(), new)).collect::<Result<_>>()?)
        }
        (Val::Record(fields), Type::Record(record)) => {
            let pairs = fields.iter().zip(record.fields());
            let pair = |((name, val), field): (&(String, Val), wasmtime::component::types::Field<'_>)| {
                Ok((name.clone(), json(val, &field.ty, new)?))
            };
            Value::Object(pairs.map(pair).collect::<Result<Map<_, _>>>()?)
        }
        (Val::Enum(name), _) => json!(name),
        (Val::Variant(name, payload), Type::Variant(variant)) => {
            let of = variant.cases().find(|case| case.name == name).and_then(|case| case.ty);
            case(name, payload.as_deref(), of.as_ref(), new)?
        }
        (Val::Option(None), _) => Value::Null,
        (Val::Option(Some(val)), Type::Option(option)) => json(val, &option.ty(), new)?,
        (Val::Result(Ok(payload)), Type::Result(result)) => {
            case("ok", payload.as_deref(), result.ok().as_ref(), new)?
        }
        (Val::Result(Err(payload)), Type::Result(result)) => {
            case("err", payload.as_deref(), result.err().as_ref(), new)?
        }
        (Val::Resource(resource), _) => {
            *new = Some(*resource);
            Value::Null
        }
        (val, of) => bail!("no function answers {val:?} as {of:?}"),
    })
}

fn case(
    name: &str,
    payload: Option<&Val>,
    of: Option<&Type>,
    new: &mut Option<ResourceAny>,
) -> Result<Value> {
    match payload.zip(of) {
        Some((payload, of)) => Ok(json!({ name: json(payload, of, new)? })),
        None => Ok(json!(name)),
    }
}

fn number(json: &Value) -> Result<u64> {
    let number = json.as_u64().or_else(|| json.as_str()?.parse().ok());
    number.with_context(|| format!("{json} is no number"))
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len().is_multiple_of(2) && text.is_ascii(), "{text} is not hexadecimal");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
