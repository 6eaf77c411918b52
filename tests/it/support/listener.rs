//! A listening socket with one thread for each connection, which can refuse connections for a while on the same port.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, Weak};

use socket2::{Domain, Socket, Type};

/// What happens to a connection.
pub(crate) type Serve = Arc<dyn Fn(Arc<TcpStream>) + Send + Sync>;

/// A server on a loopback port that the kernel chose.
pub(crate) struct Listener {
    socket: Arc<Socket>,
    address: SocketAddr,
    serve: Serve,
    /// Weak, so that a connection ends when its thread lets go of it, with a reset if bytes were left unread.
    open: Arc<Mutex<Vec<Weak<TcpStream>>>>,
}

impl Listener {
    pub(crate) fn start(serve: Serve) -> Self {
        // Linux keeps the port of a socket that stops listening only if it was bound to that port by number.
        let first = bound(0);
        let address = first.local_addr().expect("an address").as_socket().expect("an IP address");
        let socket = bound(address.port());
        let listener = Self { socket: Arc::new(socket), address, serve, open: Arc::default() };
        listener.reopen();
        listener
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses connections from now on and cuts the open ones. The port stays ours: the socket is bound, it only
    /// does not listen.
    pub(crate) fn close(&self) {
        // Shutting down a listening socket takes it back to a bound one on Linux.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.cut();
    }

    /// Cuts every open connection.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..).filter_map(|stream| stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Accepts connections again.
    pub(crate) fn reopen(&self) {
        self.socket.listen(1024).expect("to listen");
        let (socket, serve, open) = (self.socket.clone(), self.serve.clone(), self.open.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = socket.accept() {
                let stream = Arc::new(TcpStream::from(stream));
                let mut open = open.lock().unwrap();
                open.retain(|stream| stream.strong_count() > 0);
                open.push(Arc::downgrade(&stream));
                drop(open);
                let serve = serve.clone();
                let serving = std::thread::Builder::new().stack_size(256 * 1024);
                serving.spawn(move || serve(stream)).expect("a thread");
            }
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

fn bound(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an address to reuse");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("a loopback port");
    socket
}

#[test]
fn a_closed_listener_refuses_and_keeps_its_port() {
    let listener = Listener::start(Arc::new(|_| {}));
    assert!(TcpStream::connect(listener.address()).is_ok());
    listener.close();
    let refused = TcpStream::connect(listener.address()).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    listener.reopen();
    assert!(TcpStream::connect(listener.address()).is_ok());
}
