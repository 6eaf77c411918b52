//! How long an upstream may take to begin its answer.
//!
//! Of a gRPC call only its caller knows: the head of a stream may come with its first message, hours later. So `response_head`
//! does not run; the call's own `grpc-timeout` does, where there is one.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::headers;
use super::intake::Intake;
use crate::alarm::Alarm;

/// What a server gets beyond a call's deadline, to tell by itself that it has passed.
const GRACE: Duration = Duration::from_secs(1);

/// The deadline of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// From the whole request having been sent, or while the upstream takes nothing of it.
    Answer(Duration),
    /// From the beginning, however much has been sent.
    Call(Duration),
    /// There is none.
    Endless,
}

impl Patience {
    /// That of a request with these fields.
    pub(super) fn of(request: &HeaderMap, response_head: Option<Duration>) -> Self {
        if headers::is_grpc(request) {
            return call_timeout(request).map_or(Self::Endless, |timeout| Self::Call(timeout + GRACE));
        }
        response_head.map_or(Self::Endless, Self::Answer)
    }

    /// Ends when the upstream has taken too long.
    pub(super) async fn end(self, intake: &Intake, alarm: &mut Alarm, began: Instant) {
        match self {
            Self::Answer(patience) => answer_is_late(patience, intake, alarm, began).await,
            Self::Call(patience) => alarm.until(began + patience).await,
            Self::Endless => std::future::pending().await,
        }
    }
}

async fn answer_is_late(patience: Duration, intake: &Intake, alarm: &mut Alarm, began: Instant) {
    if intake.is_empty() {
        return alarm.until(began + patience).await;
    }
    let mut look_again = began + patience;
    while !intake.has_ended() {
        tokio::select! {
            biased;
            () = intake.sent() => break,
            () = alarm.until(look_again) => (),
        }
        let now = Instant::now();
        look_again = intake.held_up_since().unwrap_or(now) + patience;
        if look_again <= now {
            return;
        }
    }
    alarm.until(Instant::now() + patience).await;
}

/// `grpc-timeout`: at most eight digits and a unit ("gRPC over HTTP/2", Requests). What is none is the server's to refuse.
fn call_timeout(request: &HeaderMap) -> Option<Duration> {
    let text = request.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_own_deadline_and_no_other() {
        let ours = Some(Duration::from_secs(60));
        let check = |content_type: &str, timeout: &str, wanted: Patience| {
            let mut request = HeaderMap::new();
            request.insert("content-type", content_type.parse().unwrap());
            if !timeout.is_empty() {
                request.insert("grpc-timeout", timeout.parse().unwrap());
            }
            assert_eq!(Patience::of(&request, ours), wanted, "{content_type} {timeout}");
        };
        let call = |seconds: f64| Patience::Call(Duration::from_secs_f64(seconds) + GRACE);
        check("application/grpc", "", Patience::Endless);
        check("application/grpc+proto", "10S", call(10.0));
        check("application/grpc", "2H", call(7200.0));
        check("application/grpc", "3M", call(180.0));
        check("application/grpc", "250m", call(0.25));
        check("application/grpc", "1000u", call(0.001));
        check("application/grpc", "99999999n", call(0.099_999_999));
        check("application/grpc", "99999999H", call(99_999_999.0 * 3600.0));
        check("application/grpc", "999999999S", Patience::Endless);
        check("application/grpc", "10", Patience::Endless);
        check("application/grpc", "+1S", Patience::Endless);
        check("application/grpc", "S", Patience::Endless);
        check("application/grpc-web", "10S", Patience::Answer(Duration::from_secs(60)));
        check("application/json", "10S", Patience::Answer(Duration::from_secs(60)));
        assert_eq!(Patience::of(&HeaderMap::new(), None), Patience::Endless);
    }
}
