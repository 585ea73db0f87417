//! Values that cross between commands and scripts, where they are as RESP2 has them.

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::number::print;
use crate::reply::Reply;

/// The words of a command that a script runs. `None` if something is neither text nor number.
pub(crate) fn words(arguments: MultiValue) -> Option<Vec<Vec<u8>>> {
    let word = |argument| match argument {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        #[expect(clippy::cast_precision_loss, reason = "it was one")]
        Value::Integer(number) => Some(print(number as f64).into_bytes()),
        Value::Number(number) => Some(print(number).into_bytes()),
        _ => None,
    };
    arguments.into_iter().map(word).collect()
}

/// What a script gets.
pub(crate) fn into_lua(reply: Reply, lua: &Lua) -> Result<Value> {
    Ok(match reply {
        Reply::Nil => Value::Boolean(false),
        #[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
        Reply::Int(number) => Value::Number(number as f64),
        Reply::Text(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Prose(text) => Value::String(lua.create_string(text)?),
        Reply::Score(score) => Value::String(lua.create_string(print(score))?),
        Reply::Status(text) => one_field(lua, "ok", &text)?,
        Reply::Error(text) => one_field(lua, "err", &text)?,
        Reply::Scores(scores) => {
            let list = lua.create_table_with_capacity(scores.len() * 2, 0)?;
            for (member, score) in scores {
                list.raw_push(lua.create_string(member)?)?;
                list.raw_push(print(score))?;
            }
            Value::Table(list)
        }
        Reply::List(items) => {
            let list = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                list.raw_push(into_lua(item, lua)?)?;
            }
            Value::Table(list)
        }
    })
}

fn one_field(lua: &Lua, name: &str, text: &str) -> Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, text)?;
    Ok(Value::Table(table))
}

/// What a script returned.
pub(crate) fn from_lua(value: Value) -> Result<Reply> {
    Ok(match value {
        Value::String(text) => Reply::Text(text.as_bytes().to_vec()),
        Value::Boolean(true) => Reply::Int(1),
        Value::Integer(number) => Reply::Int(number),
        #[expect(clippy::cast_possible_truncation, reason = "as Redis does")]
        Value::Number(number) => Reply::Int(number as i64),
        Value::Table(table) => from_table(&table)?,
        _ => Reply::Nil,
    })
}

fn from_table(table: &Table) -> Result<Reply> {
    if let Some(text) = field(table, "err")? {
        return Ok(Reply::Error(text));
    }
    if let Some(text) = field(table, "ok")? {
        return Ok(Reply::Status(text));
    }
    let mut items = Vec::with_capacity(table.raw_len());
    loop {
        match table.raw_get(items.len() + 1)? {
            Value::Nil => return Ok(Reply::List(items)),
            item => items.push(from_lua(item)?),
        }
    }
}

/// A field that is a text.
pub(crate) fn field(table: &Table, name: &str) -> Result<Option<String>> {
    Ok(match table.raw_get(name)? {
        Value::String(text) => Some(text.to_string_lossy()),
        _ => None,
    })
}
