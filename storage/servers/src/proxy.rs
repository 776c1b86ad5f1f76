//! A proxy between a client and a server, which breaks connections where a test wants it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a thread of the proxy waits before it looks whether the proxy has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Forwards TCP connections to a server, over 127.0.0.1.
///
/// Dropping it cuts all of them, and closes its port.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    has_ended: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Both ends of each connection.
    open: Vec<[TcpStream; 2]>,
    /// After this many more bytes in this direction, all connections are cut.
    cut: Option<(Direction, usize)>,
    /// Nothing is forwarded.
    is_stalled: bool,
    /// New connections are closed at once.
    is_closed: bool,
    /// How often connections were cut by [`Proxy::cut_after`].
    cuts: u64,
    /// How often all connections were cut. What one from before has still read counts no more.
    generation: u64,
}

impl Proxy {
    /// A proxy before the server at this address.
    ///
    /// # Errors
    ///
    /// There is no free port, or the system refuses to start a thread.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (has_ended, state, changed) = (AtomicBool::new(false), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { target, has_ended, state, changed });
        let accepting = Arc::clone(&shared);
        thread::Builder::new().name("proxy".to_owned()).spawn(move || accept(&listener, &accepting))?;
        Ok(Self { address, shared })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections now. New ones are possible.
    pub fn cut(&self) {
        self.shared.lock().cut_all();
    }

    /// Cuts all connections once this many more bytes were forwarded in this direction.
    pub fn cut_after(&self, direction: Direction, bytes: usize) {
        self.shared.lock().cut = Some((direction, bytes));
    }

    /// How often [`cut_after`](Self::cut_after) has cut connections.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.lock().cuts
    }

    /// Forwards nothing until it is called with `false`. Connections stay open.
    pub fn stall(&self, is_stalled: bool) {
        self.shared.lock().is_stalled = is_stalled;
        self.shared.changed.notify_all();
    }

    /// Cuts all connections and closes new ones at once, until it is called with `false`.
    pub fn close(&self, is_closed: bool) {
        let mut state = self.shared.lock();
        state.is_closed = is_closed;
        if is_closed {
            state.cut_all();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        self.shared.lock().cut_all();
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of these bytes to forward before all connections are cut; all of them if they are not. Waits while the
    /// proxy is stalled.
    fn admit(&self, direction: Direction, bytes: usize, generation: u64) -> (usize, bool) {
        let mut state = self.lock();
        while state.is_stalled && !self.has_ended.load(Ordering::SeqCst) {
            (state, _) = self.changed.wait_timeout(state, LOOK_INTERVAL).unwrap_or_else(PoisonError::into_inner);
        }
        if state.generation != generation {
            return (0, false);
        }
        match &mut state.cut {
            Some((of, left)) if *of == direction => {
                let admitted = bytes.min(*left);
                *left -= admitted;
                (admitted, admitted < bytes || *left == 0)
            }
            Some(_) | None => (bytes, false),
        }
    }

    fn cut_as_asked(&self) {
        let mut state = self.lock();
        if state.cut.take().is_some() {
            state.cuts += 1;
        }
        state.cut_all();
    }
}

impl State {
    fn cut_all(&mut self) {
        self.generation += 1;
        for end in self.open.drain(..).flatten() {
            // It may have ended already.
            drop(end.shutdown(Shutdown::Both));
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.has_ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        // Both ends of it see a broken connection.
        drop(forward(client, shared));
    }
}

/// Connects a client with the server.
fn forward(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    if shared.lock().is_closed {
        return Ok(());
    }
    let server = TcpStream::connect(shared.target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let generation = {
        let mut state = shared.lock();
        state.open.push([client.try_clone()?, server.try_clone()?]);
        state.generation
    };
    let (to_server, to_client) = (Arc::clone(shared), Arc::clone(shared));
    let ends = (client.try_clone()?, server.try_clone()?);
    thread::Builder::new().spawn(move || pump(ends, Direction::ToServer, &to_server, generation))?;
    thread::Builder::new().spawn(move || pump((server, client), Direction::ToClient, &to_client, generation))?;
    Ok(())
}

/// Forwards bytes in one direction until the connection ends.
fn pump((mut from, mut to): (TcpStream, TcpStream), direction: Direction, shared: &Shared, generation: u64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            // The other direction may go on.
            drop(to.shutdown(Shutdown::Write));
            return;
        }
        let (admitted, is_cut) = shared.admit(direction, read, generation);
        let written = buffer.get(..admitted).map_or(Ok(()), |bytes| to.write_all(bytes));
        if is_cut {
            shared.cut_as_asked();
        }
        if is_cut || written.is_err() {
            break;
        }
    }
    drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                thread::spawn(move || io::copy(&mut client.try_clone().unwrap(), &mut client));
            }
        });
        address
    }

    /// What comes back over a new connection.
    fn answer(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        // Where the proxy cuts the connection, both may fail.
        drop(client.write_all(bytes).and_then(|()| client.shutdown(Shutdown::Write)));
        let mut answer = Vec::new();
        drop(client.read_to_end(&mut answer));
        answer
    }

    #[test]
    fn connections_break_where_the_test_wants_it() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut kept = TcpStream::connect(proxy.address()).unwrap();
        kept.write_all(b"abc").unwrap();
        let mut three = [0; 3];
        kept.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"abc");

        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.cut_after(direction, 2);
            let answer = answer(&proxy, b"abc");
            // Bytes that the server was sent may be lost on the way back.
            assert!(b"ab".starts_with(&answer), "{answer:?}");
        }
        assert_eq!(proxy.cuts(), 2);
        assert_eq!(kept.read(&mut three).unwrap_or(0), 0, "it is cut, too");
        proxy.close(true);
        assert_eq!(answer(&proxy, b"abc"), b"");
        proxy.close(false);
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        client.write_all(b"abc").unwrap();
        client.read_exact(&mut three).unwrap();
    }
}
