//! What the scripts answer, read strictly: anything that they never say is nonsense.

use std::time::Duration;

use redis::Value;

use crate::store::backend::{Claimed, StoreError, Stored, Written};

/// Of [`super::scripts::claim`].
pub(super) fn claimed(reply: Value) -> Result<Claimed, StoreError> {
    let items = array(reply)?;
    let mut items = items.into_iter();
    match text(items.next())?.as_str() {
        "newer" => entry(items).and_then(|entry| entry.map(Claimed::Newer).ok_or_else(|| nonsense("no entry"))),
        "granted" => {
            let fence = number(items.next())?;
            Ok(Claimed::Granted { fence, stored: entry(items)? })
        }
        "taken" => Ok(Claimed::Taken { left: Duration::from_millis(number(items.next())?) }),
        _ => Err(nonsense("an unknown word")),
    }
}

/// Of [`super::scripts::read`].
pub(super) fn stored(reply: Value) -> Result<Option<Stored>, StoreError> {
    entry(array(reply)?.into_iter())
}

/// Of [`super::scripts::write`].
pub(super) fn written(reply: Value) -> Result<Written, StoreError> {
    match text(Some(reply))?.as_str() {
        "done" => Ok(Written::Done),
        "outrun" => Ok(Written::Outrun),
        _ => Err(nonsense("an unknown word")),
    }
}

/// Of [`super::scripts::count`].
pub(super) fn count(reply: Value) -> Result<u64, StoreError> {
    number(Some(reply))
}

/// Version, bytes and age in µs; or nothing at all.
fn entry(mut items: impl Iterator<Item = Value>) -> Result<Option<Stored>, StoreError> {
    let Some(version) = items.next() else { return Ok(None) };
    let version = number(Some(version))?;
    let Some(Value::BulkString(bytes)) = items.next() else { return Err(nonsense("an entry without bytes")) };
    let Some(Value::Int(age)) = items.next() else { return Err(nonsense("an entry without an age")) };
    Ok(Some(Stored { version, bytes, age: u64::try_from(age).ok().map(Duration::from_micros) }))
}

fn array(reply: Value) -> Result<Vec<Value>, StoreError> {
    match reply {
        Value::Array(items) => Ok(items),
        _ => Err(nonsense("something else than a list")),
    }
}

fn text(reply: Option<Value>) -> Result<String, StoreError> {
    match reply {
        Some(Value::BulkString(bytes)) => String::from_utf8(bytes).map_err(|_| nonsense("a word that is no text")),
        Some(Value::SimpleString(text)) => Ok(text),
        _ => Err(nonsense("something else than a word")),
    }
}

fn number(reply: Option<Value>) -> Result<u64, StoreError> {
    let number = match reply {
        Some(Value::Int(number)) => u64::try_from(number).ok(),
        reply => text(reply)?.parse().ok(),
    };
    number.ok_or_else(|| nonsense("something else than a number"))
}

fn nonsense(what: &str) -> StoreError {
    StoreError::Nonsense(format!("{what} came back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn list(words: &[&str], age: Option<i64>) -> Value {
        Value::Array(words.iter().map(|word| bulk(word)).chain(age.map(Value::Int)).collect())
    }

    #[test]
    fn what_the_scripts_say_is_understood() {
        let stored = |age| Stored { version: u64::MAX, bytes: b"sealed".to_vec(), age };
        let max = "18446744073709551615";
        let second = Some(Duration::from_secs(1));
        let newer = claimed(list(&["newer", max, "sealed"], Some(1_000_000)));
        assert_eq!(newer, Ok(Claimed::Newer(stored(second))));
        let granted = claimed(list(&["granted", "00000000000000000007", max, "sealed"], Some(-1)));
        assert_eq!(granted, Ok(Claimed::Granted { fence: 7, stored: Some(stored(None)) }));
        assert_eq!(claimed(list(&["granted", "7"], None)), Ok(Claimed::Granted { fence: 7, stored: None }));
        let taken = Claimed::Taken { left: Duration::from_millis(250) };
        assert_eq!(claimed(list(&["taken"], Some(250))), Ok(taken));
        assert_eq!(super::stored(Value::Array(Vec::new())), Ok(None));
        assert_eq!(written(bulk("done")), Ok(Written::Done));
        assert_eq!(written(bulk("outrun")), Ok(Written::Outrun));
        assert_eq!((count(Value::Int(3)), count(bulk("0"))), (Ok(3), Ok(0)));
    }

    #[test]
    fn anything_else_is_nonsense() {
        let strange = [
            Value::Nil,
            Value::Okay,
            Value::Int(-1),
            bulk("done "),
            bulk("-1"),
            Value::BulkString(vec![0xff]),
            list(&["newer"], None),
            list(&["newer", "7", "sealed"], None),
            list(&["newer", "7"], Some(1)),
            list(&["newer", "18446744073709551616", "sealed"], Some(1)),
            list(&["granted"], None),
            list(&["granted", "7", "8"], None),
            list(&["taken"], Some(-2)),
            list(&["given"], Some(1)),
            Value::Array(vec![Value::Array(Vec::new())]),
            Value::Map(Vec::new()),
        ];
        for reply in strange {
            assert!(matches!(claimed(reply.clone()), Err(StoreError::Nonsense(_))), "{reply:?}");
            assert!(matches!(stored(reply.clone()), Err(StoreError::Nonsense(_))), "{reply:?}");
            assert!(matches!(written(reply.clone()), Err(StoreError::Nonsense(_))), "{reply:?}");
            assert!(matches!(count(reply.clone()), Err(StoreError::Nonsense(_))), "{reply:?}");
        }
    }
}
