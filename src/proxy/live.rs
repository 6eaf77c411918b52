//! A worker's proxy that a reload exchanges while the worker and its connections stay.
//!
//! Owns the exchange: whoever begins a request looks, by one atomic load, whether there is another gateway, so that no request that
//! begins after a reload is served by what was before; a worker that serves nothing just then follows by itself. Requests in flight
//! end with what they began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tokio::sync::watch;

use super::reply::ReplyBody;
use super::{Gateway, Proxy};
use crate::server::{Answer, CallerBody, ConnectionInfo, Handler, Refusal};

/// One worker's proxy, as the last reload wants it.
#[derive(Debug)]
pub struct Live(Rc<Exchange>);

#[derive(Debug)]
struct Exchange {
    gateways: RefCell<watch::Receiver<Arc<Gateway>>>,
    current: RefCell<Rc<Proxy>>,
}

impl Live {
    /// A worker's proxy. Call it on the worker's own runtime.
    pub fn new(mut gateways: watch::Receiver<Arc<Gateway>>) -> Self {
        let gateway = Arc::clone(&gateways.borrow_and_update());
        let news = gateways.clone();
        let proxy = RefCell::new(Rc::new(Proxy::new(gateway, None)));
        let exchange = Rc::new(Exchange { gateways: RefCell::new(gateways), current: proxy });
        tokio::task::spawn_local(follow(news, Rc::clone(&exchange)));
        Self(exchange)
    }
}

/// Exchanges the proxy although no request comes: what is no longer configured must not keep connections open.
async fn follow(mut gateways: watch::Receiver<Arc<Gateway>>, exchange: Rc<Exchange>) {
    while gateways.changed().await.is_ok() {
        exchange.current();
    }
}

impl Exchange {
    fn current(&self) -> Rc<Proxy> {
        // An error means that bearerd is ending.
        if self.gateways.borrow().has_changed().unwrap_or(false) {
            self.exchange();
        }
        Rc::clone(&self.current.borrow())
    }

    #[cold]
    fn exchange(&self) {
        let gateway = Arc::clone(&self.gateways.borrow_mut().borrow_and_update());
        let before = Rc::clone(&self.current.borrow());
        self.current.replace(Rc::new(Proxy::new(gateway, Some(&before))));
    }
}

impl Handler for Live {
    type Body = ReplyBody;

    fn wants_spelling(&self) -> bool {
        self.0.current.borrow().wants_spelling()
    }

    async fn handle(&self, info: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<ReplyBody> {
        self.0.current().handle(info, request).await
    }

    fn refuse(&self, info: &ConnectionInfo, refusal: Refusal, head_only: bool) -> Bytes {
        self.0.current().refuse(info, refusal, head_only)
    }
}
