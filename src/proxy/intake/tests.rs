use std::cell::RefCell;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use prometheus::IntGauge;

use super::*;
use crate::server::fuzzing::converse;
use crate::server::{Answer, ConnectionInfo, Handler};

/// Reads a body to its end, or to what ends it, and then asks for all of it again.
struct ReadsTwice(RefCell<Option<Result<(), Lost>>>);

impl Handler for ReadsTwice {
    type Body = Empty<Bytes>;

    async fn handle(&self, _: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<Empty<Bytes>> {
        let handling = Handling {
            keep: Some(1024),
            budget: Arc::new(Budget::new(1024, IntGauge::new("g", "g").unwrap())),
            idle: None,
            ours: Arc::default(),
            resumes: false,
            discard: mpsc::unbounded_channel().0,
            notes: None,
        };
        let intake = Intake::new(request.into_body(), handling, None);
        let mut first = intake.body().unwrap();
        while let Some(Ok(_)) = first.frame().await {}
        let completed = intake.complete().await;
        assert_eq!(completed.is_ok(), intake.body().is_some(), "what is complete can be sent again");
        *self.0.borrow_mut() = Some(completed);
        Response::new(Empty::new()).into()
    }

    fn refuse(&self, _: &ConnectionInfo, _: Refusal, _: bool) -> Bytes {
        Bytes::new()
    }
}

#[test]
fn a_body_that_ended_badly_before_anybody_asked_is_not_complete() {
    let check = |pieces: &[&[u8]]| {
        let handler = Rc::new(ReadsTwice(RefCell::default()));
        converse(pieces, Rc::clone(&handler));
        handler.0.borrow_mut().take().unwrap()
    };
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(check(&[head, b"5\r\nhello\r\n", b"0\r\n\r\n"]), Ok(()));
    assert_eq!(check(&[head, b"5\r\nhello\r\n"]), Err(Lost::Failed));
    assert!(matches!(check(&[head, b"5\r\nhello\r\n", b"x\r\n"]), Err(Lost::Malformed(_))));
}
