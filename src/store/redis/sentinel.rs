//! Who the master is, as the sentinels say.

use std::time::Duration;

use redis::{Value, cmd};
use tokio::time::timeout;

use super::dial::{self, Who};
use crate::store::backend::StoreError;
use crate::store::settings::{Redis, Server};

/// How long one sentinel may take, so that the next one has its turn.
const ONE_SENTINEL: Duration = Duration::from_secs(1);

/// Asks one sentinel after the other, in any order, until one knows the master of this name.
pub(super) async fn master(settings: &Redis, name: &str) -> Result<Server, StoreError> {
    let mut question = cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(name);
    let mut sentinels: Vec<&Server> = settings.servers.iter().collect();
    fastrand::shuffle(&mut sentinels);
    let mut last = StoreError::Unreachable("no sentinel is configured".to_owned());
    for sentinel in sentinels {
        last = match timeout(ONE_SENTINEL, dial::ask_once(settings, sentinel, Who::Sentinel, &question)).await {
            Ok(Ok(answer)) => match address(&answer) {
                Ok(Some(server)) => return Ok(server),
                Ok(None) => StoreError::Unreachable(format!("the sentinel {sentinel} knows no master {name:?}")),
                Err(error) => error,
            },
            Ok(Err(StoreError::Unreachable(why))) => StoreError::Unreachable(format!("sentinel: {why}")),
            Ok(Err(StoreError::Refused(why))) => StoreError::Refused(format!("sentinel: {why}")),
            Ok(Err(error)) => error,
            Err(_) => StoreError::Unreachable(format!("the sentinel {sentinel} does not answer")),
        };
    }
    Err(last)
}

/// Host and port, or nothing.
fn address(answer: &Value) -> Result<Option<Server>, StoreError> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    };
    let found = match answer {
        Value::Nil => return Ok(None),
        Value::Array(items) => match items.as_slice() {
            [host, port] => text(host).zip(text(port).and_then(|port| port.parse().ok())),
            _ => None,
        },
        _ => None,
    };
    match found {
        Some((host, port)) => Ok(Some(Server::Tcp(host, port))),
        None => Err(StoreError::Nonsense("this is not how a sentinel answers".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_sentinel_says_host_and_port_or_nothing() {
        let found = address(&Value::Array(vec![bulk("10.0.0.1"), bulk("6379")]));
        assert_eq!(found, Ok(Some(Server::Tcp("10.0.0.1".to_owned(), 6379))));
        assert_eq!(address(&Value::Nil), Ok(None));
        for strange in [Value::Array(vec![bulk("a")]), Value::Array(vec![bulk("a"), bulk("70000")])] {
            assert!(matches!(address(&strange), Err(StoreError::Nonsense(_))), "{strange:?}");
        }
        assert!(matches!(address(&Value::Okay), Err(StoreError::Nonsense(_))));
    }
}
