//! What a command answers, before it is known who asks.

use redis::{Value, VerbatimFormat, parse_redis_value};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Status(String),
    Text(Vec<u8>),
    /// Text for people.
    Prose(String),
    Score(f64),
    /// Members with their scores: pairs for a client, one long list for a script.
    Scores(Vec<(Vec<u8>, f64)>),
    List(Vec<Reply>),
    /// Its code, then what is wrong.
    Error(String),
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// As a client gets it that speaks RESP3.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Int(number) => Value::Int(number),
            Self::Status(text) if text == "OK" => Value::Okay,
            Self::Status(text) => Value::SimpleString(text),
            Self::Text(bytes) => Value::BulkString(bytes),
            Self::Prose(text) => Value::VerbatimString { format: VerbatimFormat::Text, text },
            Self::Score(score) => Value::Double(score),
            Self::Scores(scores) => {
                let pair =
                    |(member, score)| Value::Array(vec![Value::BulkString(member), Value::Double(score)]);
                Value::Array(scores.into_iter().map(pair).collect())
            }
            Self::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Error(text) => {
                // The library makes its errors from what arrives, and in no other way.
                let line = format!("-{}\r\n", text.replace(['\r', '\n'], " "));
                parse_redis_value(line.as_bytes()).expect("invariant: it is one line")
            }
        }
    }
}
