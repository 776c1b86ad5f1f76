//! One connection, one request at a time: for latencies, and to inspect a server.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::response::{Incoming, Response};

/// A server that takes longer to answer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that waits for its answers.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    incoming: Incoming,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        Self::connect_for(address, PATIENCE)
    }

    /// The same for requests whose answers may take longer than [`PATIENCE`].
    pub(super) fn connect_for(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream, incoming: Incoming::default() })
    }

    /// Sends a request and waits for the whole response; returns the time that took.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Result<(Response, Duration)> {
        let started = Instant::now();
        self.stream.write_all(request).context("cannot send a request")?;
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = self.stream.read(&mut buffer).context("no answer")?;
            ensure!(length > 0, "the server closed the connection instead of answering");
            self.incoming.extend(buffer.get(..length).unwrap_or_default());
            if let Some(response) = self.incoming.take()? {
                return Ok((response, started.elapsed()));
            }
        }
    }

    /// The same for a GET.
    pub(super) fn get(&mut self, target: &str) -> Result<(Response, Duration)> {
        self.exchange(&get(target)).with_context(|| format!("GET {target}"))
    }
}

/// The bytes of a GET request.
pub(super) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

/// The bytes of a POST to `/events`.
pub(super) fn post(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
