//! One accepted connection.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use argus_host::lifecycle::ConnectionPermit;
use argus_host::wire::Wire;
use hyper::rt::{Read, ReadBufCursor, Write};
use smol::Async;
use smol_hyper::rt::FuturesIo;

use crate::app::App;
use crate::runtime::Smol;

/// Serves a connection from its first byte to its last.
pub async fn serve(wire: Wire<Smol>, app: App, stream: Async<TcpStream>, peer: SocketAddr, permit: ConnectionPermit) {
    // Answers are written at once, so delaying packets gains nothing. A socket that refuses the option is closed
    // already, and the first read reports that.
    let _ = stream.get_ref().set_nodelay(true);
    wire.drive(Socket::from(stream), peer, permit, |exchange| app.respond(exchange)).await;
}

/// A connection's socket in the form that hyper and the wire need.
///
/// It uses async-io's socket, not async-net's: async-net forgets the waiting task as soon as a later write succeeds.
/// hyper writes a large answer in pieces; within one poll one piece may have to wait and the next may succeed, and
/// hyper relies on being woken for the first. About one in ten downloads of 512 MB never ended. async-io keeps the
/// waker until the socket is ready: none of 850 stalled.
#[derive(Debug)]
pub struct Socket(FuturesIo<Async<TcpStream>>);

impl From<Async<TcpStream>> for Socket {
    fn from(stream: Async<TcpStream>) -> Self {
        Self(FuturesIo::new(stream))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    /// True, which smol-hyper does not report. Without it hyper would copy its output into one piece.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    /// Closes the server's half of the connection. async-io would do so only when the socket is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::env;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::num::NonZeroUsize;

    use argus_host::runtime::Runtime as _;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use smol::stream;

    use super::*;
    use crate::runtime;

    const CHUNK_BYTES: usize = 65_536;

    /// `ARGUS_TEST_DOWNLOADS=850 ARGUS_TEST_DOWNLOAD_CHUNKS=8192 cargo test --release -p argus-smol large` is the long
    /// version, which finds the bug of async-net's stream.
    #[test]
    fn large_answers_arrive_complete() {
        let downloads = setting("ARGUS_TEST_DOWNLOADS", 20);
        let chunks = setting("ARGUS_TEST_DOWNLOAD_CHUNKS", 256);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = {
            let address = listener.local_addr().unwrap();
            std::thread::spawn(move || (0..downloads).map(|_| download(address)).collect::<Vec<_>>())
        };
        let served = runtime::block_on(NonZeroUsize::new(2).unwrap(), |runtime| async move {
            let listener = Async::new(listener).unwrap();
            for _ in 0..downloads {
                let (stream, _) = listener.accept().await.unwrap();
                runtime.spawn(async move { answer(stream, chunks).await });
            }
            runtime.unblock(move || client.join().unwrap()).await
        })
        .unwrap();
        assert_eq!(served, vec![chunks * CHUNK_BYTES; downloads]);
    }

    fn setting(name: &str, default: usize) -> usize {
        env::var(name).map_or(default, |value| value.parse().unwrap())
    }

    async fn answer(stream: Async<TcpStream>, chunks: usize) {
        let service = service_fn(move |_: Request<hyper::body::Incoming>| async move {
            let chunk = Bytes::from_static(&[7; CHUNK_BYTES]);
            let frames = stream::iter((0..chunks).map(move |_| Ok::<_, Infallible>(Frame::data(chunk.clone()))));
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        });
        http1::Builder::new().serve_connection(Socket::from(stream), service).await.unwrap();
    }

    /// The number of content bytes that arrived. With HTTP/1.0 the content is everything after the head, up to the end
    /// of the connection.
    fn download(address: SocketAddr) -> usize {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut buffer = vec![0; 4 * CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return bytes,
                read => bytes += buffer[..read].iter().filter(|&&byte| byte == 7).count(),
            }
        }
    }
}
