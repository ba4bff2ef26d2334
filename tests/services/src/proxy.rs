use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::{Error, port};

/// A TCP proxy on a loopback port, with which a test cuts a server off.
///
/// ```no_run
/// # fn main() -> Result<(), bowline_test_services::Error> {
/// use bowline_test_services::{Proxy, Redis};
///
/// let redis = Redis::start()?;
/// let proxy = Proxy::start(redis.address())?;
/// proxy.cut(); // connections break, new ones are refused
/// proxy.heal()?;
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    address: SocketAddr,
    upstream: String,
    listening: Mutex<Option<Listening>>,
}

struct Listening {
    state: Arc<Mutex<State>>,
    acceptor: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    cut: bool,
    live: Vec<TcpStream>,
}

impl Proxy {
    /// Listens on a free port and passes every connection on to `upstream`, a `host:port`.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start(upstream: &str) -> Result<Self, Error> {
        let proxy = Self {
            address: port::free()?,
            upstream: upstream.to_owned(),
            listening: Mutex::new(None),
        };
        proxy.heal()?;
        Ok(proxy)
    }

    /// Where clients connect to, `host:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and refuses new ones until [`heal`](Self::heal).
    pub fn cut(&self) {
        let Some(Listening { state, acceptor }) = self.listening().take() else {
            return;
        };
        let mut locked = lock(&state);
        locked.cut = true;
        for stream in locked.live.drain(..) {
            // One that the client has closed already is cut as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(locked);
        // Wakes the acceptor; the port is closed once it has ended.
        drop(TcpStream::connect(self.address));
        let _ = acceptor.join();
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    ///
    /// When somebody else took the port meanwhile.
    pub fn heal(&self) -> Result<(), Error> {
        let mut listening = self.listening();
        if listening.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address)
            .map_err(|error| Error::io(format!("cannot listen on {}", self.address), &error))?;
        let state = Arc::new(Mutex::new(State::default()));
        let acceptor = {
            let (state, upstream) = (Arc::clone(&state), self.upstream.clone());
            thread::spawn(move || accept(&listener, &upstream, &state))
        };
        *listening = Some(Listening { state, acceptor });
        Ok(())
    }

    fn listening(&self) -> MutexGuard<'_, Option<Listening>> {
        lock(&self.listening)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

fn accept(listener: &TcpListener, upstream: &str, state: &Arc<Mutex<State>>) {
    for client in listener.incoming() {
        if lock(state).cut {
            return;
        }
        let Ok(client) = client else { continue };
        // An upstream that is down looks to the client like a connection that breaks at once.
        let Ok(server) = TcpStream::connect(upstream) else {
            continue;
        };
        let _ = join(client, server, state);
    }
}

/// Passes bytes both ways until one side ends.
fn join(client: TcpStream, server: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, server_read) = (client.try_clone()?, server.try_clone()?);
    let mut state = lock(state);
    if state.cut {
        return Ok(());
    }
    state
        .live
        .extend([client.try_clone()?, server.try_clone()?]);
    drop(state);
    thread::spawn(move || pass(client_read, server));
    thread::spawn(move || pass(server_read, client));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    if io::copy(&mut from, &mut to).is_ok() {
        // The other direction may still have something to say.
        let _ = to.shutdown(Shutdown::Write);
    } else {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
