//! Part 1: what is 401 without bearerd is 200 through it.

use std::net::SocketAddr;

use http::StatusCode;

use super::{Printer, Stage, Verdict, problem_if};
use crate::demo::client::{Answer, CallError, Caller};

const PATH: &str = "/items";

pub(super) async fn play(stage: &Stage, out: &mut Printer) -> Verdict {
    let directly = Caller::new(stage.api_address).fetch(PATH).await;
    out.say(&format!("straight to the API   {}", describe(stage.api_address, &directly)));
    let through = Caller::new(stage.bearerd).fetch(PATH).await;
    out.say(&format!("through bearerd       {}", describe(stage.bearerd, &through)));
    judge(&directly, &through, stage.authorization_server.counts().total())
}

fn judge(directly: &Result<Answer, CallError>, through: &Result<Answer, CallError>, token_requests: usize) -> Verdict {
    let has = |answer: &Result<Answer, CallError>, wanted| answer.as_ref().is_ok_and(|a| a.status == wanted);
    let problems: Vec<_> = [
        problem_if(!has(directly, StatusCode::UNAUTHORIZED), || "the API itself should have answered 401".to_owned()),
        problem_if(!has(through, StatusCode::OK), || "through bearerd it should have been 200".to_owned()),
        problem_if(token_requests != 1, || format!("{token_requests} token requests were made instead of 1")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if problems.is_empty() {
        Ok("the same request twice, no token in either: bearerd fetched one and added it".to_owned())
    } else {
        Err(problems)
    }
}

fn describe(address: SocketAddr, answer: &Result<Answer, CallError>) -> String {
    let request = format!("GET http://{address}{PATH}");
    match answer {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            let detail = answer.challenge.as_deref().unwrap_or_else(|| body.trim());
            format!("{request}  ->  {}  {detail}", answer.status)
        }
        Err(error) => format!("{request}  ->  {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Result<Answer, CallError> {
        Ok(Answer { status: StatusCode::from_u16(status).unwrap(), challenge: None, body: "{}".into() })
    }

    #[test]
    fn only_401_without_and_200_with_bearerd_will_do() {
        let check = |directly: u16, through: u16, token_requests: usize, problems: usize| {
            let verdict = judge(&answer(directly), &answer(through), token_requests);
            assert_eq!(verdict.err().map_or(0, |p| p.len()), problems, "{directly} {through} {token_requests}");
        };
        check(401, 200, 1, 0);
        check(200, 200, 1, 1);
        check(401, 401, 1, 1);
        check(401, 503, 0, 2);
        check(401, 200, 2, 1);
        assert!(judge(&answer(401), &Err(CallError::Silent), 1).is_err());
    }
}
