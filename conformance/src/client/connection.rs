//! One connection, written and read byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::{Framing, Head, Request, Response, Transcript};
use crate::check;
use crate::compress;
use crate::description::{Answer, Description};
use crate::failure::{Failure, Outcome};

/// How long a case waits for something that must happen, unless [`wait_longer`] says otherwise. A case that passes does
/// not wait that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How many times [`PATIENCE`] this process waits.
static PATIENCE_FACTOR: AtomicU32 = AtomicU32::new(1);

/// Has all cases of this process wait so many times longer, for a subject that is slow.
pub fn wait_longer(factor: u32) {
    PATIENCE_FACTOR.store(factor, Ordering::Relaxed);
}

/// How long a case of this process waits for something that must happen.
#[must_use]
pub fn patience() -> Duration {
    PATIENCE * PATIENCE_FACTOR.load(Ordering::Relaxed)
}

/// The size of a small receive buffer, in bytes.
const SMALL_BUFFER_BYTES: usize = 4 * 1024;

/// One connection to the subject. Several requests may go over it; dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    host: String,
    unread: Vec<u8>,
    transcript: Transcript,
    /// The document that every answer must match, if known.
    description: Option<Arc<Description>>,
    /// Method and target of the last request; `None` if its bytes were written by [`write`](Self::write).
    last_request: Option<(String, String)>,
}

/// How the subject's half of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Normally: nothing is missing.
    Close,
    /// By a reset: something may be missing.
    Reset,
}

/// The result of a single read.
enum Received {
    Bytes,
    Closed(End),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`Failure`] if nobody listens there.
    pub fn open(address: SocketAddr, transcript: Transcript) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&address, patience())
            .map_err(|error| Failure::unmet(format!("a connection to {address}: {error}")))?;
        Self::over(stream, address, transcript)
    }

    /// Connects with a small receive buffer, so that the subject soon has to wait for the client to read.
    ///
    /// # Errors
    ///
    /// [`Failure`] if nobody listens there.
    pub fn open_with_small_buffer(address: SocketAddr, transcript: Transcript) -> Result<Self, Failure> {
        let connect = || -> std::io::Result<TcpStream> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            // Before connecting, because it limits the TCP window.
            socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
            socket.connect_timeout(&address.into(), patience())?;
            Ok(socket.into())
        };
        let stream = connect().map_err(|error| Failure::unmet(format!("a connection to {address}: {error}")))?;
        Self::over(stream, address, transcript)
    }

    fn over(stream: TcpStream, address: SocketAddr, transcript: Transcript) -> Result<Self, Failure> {
        stream.set_nodelay(true).map_err(|error| Failure::unmet(format!("set_nodelay: {error}")))?;
        Ok(Self {
            stream,
            host: address.to_string(),
            unread: Vec::new(),
            transcript,
            description: None,
            last_request: None,
        })
    }

    /// The address of its own end.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the system does not tell it.
    pub fn local_address(&self) -> Result<SocketAddr, Failure> {
        self.stream.local_addr().map_err(|error| Failure::unmet(format!("the address of a connection: {error}")))
    }

    /// Requires every answer from now on to match this document.
    #[must_use]
    pub fn checked_against(self, description: &Arc<Description>) -> Self {
        Self { description: Some(Arc::clone(description)), ..self }
    }

    /// Sends a request and reads its response, skipping `100 Continue`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the response is missing, incomplete or not HTTP.
    pub fn request(&mut self, request: &Request) -> Result<Response, Failure> {
        let host = self.host.clone();
        self.write(&request.to_bytes(&host))?;
        self.last_request = Some((request.method.clone(), request.target.clone()));
        self.response_to(&request.method)
    }

    /// Sends a request and reads only the head of its response, whose status the document must declare.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is none.
    pub fn begin(&mut self, request: &Request) -> Result<Head, Failure> {
        let host = self.host.clone();
        self.write(&request.to_bytes(&host))?;
        let head = self.read_head(&request.method)?;
        if let Some(description) = &self.description {
            let answer = Answer {
                status: head.status,
                headers: &head.headers,
                content_type: head.header("content-type"),
                body: None,
            };
            description.check(Some((&request.method, &request.target)), answer)?;
        }
        Ok(head)
    }

    /// Sends bytes as they are. A subject that has already answered may have closed the connection; the next read
    /// reports that.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the subject neither takes the bytes nor closes the connection.
    pub fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.transcript.note('>', bytes);
        self.last_request = None;
        self.set_timeouts(patience())?;
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if is_disconnect(&error) => {
                self.transcript.note('*', format!("closed while sending: {error}").as_bytes());
                Ok(())
            }
            Err(error) => Err(Failure::unmet(format!("a subject that takes {} bytes: {error}", bytes.len()))),
        }
    }

    /// Sends bytes and says whether the subject has closed the connection instead.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the subject neither takes the bytes nor closes the connection.
    pub fn write_is_refused(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        self.set_timeouts(patience())?;
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(false),
            Err(error) if is_disconnect(&error) => Ok(true),
            Err(error) => Err(Failure::unmet(format!("a subject that takes {} bytes: {error}", bytes.len()))),
        }
    }

    /// Closes the client's half of the connection. The other half stays open.
    pub fn finish_sending(&mut self) {
        self.transcript.note('*', b"end of sending");
        // Fails only if the other side has already reset the connection, which the next read reports.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Resets the connection, as the system does if a client is killed with unread bytes.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the system refuses.
    pub fn reset(self) -> Outcome {
        self.transcript.note('*', b"reset by the client");
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .map_err(|error| Failure::unmet(format!("set_linger: {error}")))
    }

    /// Reads the response to a request of this method, skipping `100 Continue`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is missing, incomplete or not HTTP.
    pub fn response_to(&mut self, method: &str) -> Result<Response, Failure> {
        let mut head = self.read_head(method)?;
        while head.status == 100 {
            head = self.read_head(method)?;
        }
        let body = self.read_body(&head)?;
        self.transcript.note('<', &body);
        Ok(Response { head, body })
    }

    /// Reads the status line and header fields of the next response.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the connection ends before, or the bytes are not HTTP.
    pub fn read_head(&mut self, method: &str) -> Result<Head, Failure> {
        self.try_read_head(method)?.map_err(|_| self.no_response())
    }

    /// As [`read_head`](Self::read_head); `None` if the connection is reset before: an answer may break off before its
    /// head was sent.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the connection is closed without a reset, or the bytes are not HTTP.
    pub fn read_head_unless_reset(&mut self, method: &str) -> Result<Option<Head>, Failure> {
        match self.try_read_head(method)? {
            Ok(head) => Ok(Some(head)),
            Err(End::Reset) => Ok(None),
            Err(End::Close) => Err(self.no_response()),
        }
    }

    /// Reads the next head, or to the end of the connection.
    fn try_read_head(&mut self, method: &str) -> Result<Result<Head, End>, Failure> {
        let deadline = Instant::now() + patience();
        loop {
            if let Some((head, length)) = Head::parse(&self.unread, method)? {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                self.transcript.note('<', &bytes);
                return Ok(Ok(head));
            }
            if let Received::Closed(end) = self.receive(deadline)? {
                return Ok(Err(end));
            }
        }
    }

    fn no_response(&self) -> Failure {
        let rest = self.unread.escape_ascii().to_string();
        Failure::unmet(format!("a response, but the connection was closed after {rest:?}"))
    }

    /// Reads the body that belongs to `head`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it ends early, is malformed, or does not match the document.
    pub fn read_body(&mut self, head: &Head) -> Result<Vec<u8>, Failure> {
        let (body, has_body) = match head.framing {
            Framing::None => (Vec::new(), false),
            Framing::Length(length) => (self.take(length)?, true),
            Framing::Chunked => (self.read_chunks()?, true),
            Framing::Close => (self.read_to_end()?, true),
        };
        if let Some(description) = &self.description {
            let request = self.last_request.as_ref().map(|(method, target)| (method.as_str(), target.as_str()));
            let content = match has_body {
                true => Some(compress::decoded(head.header("content-encoding"), &body)?),
                false => None,
            };
            let answer = Answer {
                status: head.status,
                headers: &head.headers,
                content_type: head.header("content-type"),
                body: content.as_deref(),
            };
            description.check(request, answer)?;
        }
        Ok(body)
    }

    /// Reads until the connection is closed, by a reset or otherwise; returns the bytes.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the subject keeps the connection open.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>, Failure> {
        self.read_until_end().map(|(bytes, _)| bytes)
    }

    /// Reads until the connection is closed; returns the bytes, and how it ended.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the subject keeps the connection open.
    pub fn read_until_end(&mut self) -> Result<(Vec<u8>, End), Failure> {
        let deadline = Instant::now() + patience();
        loop {
            if let Received::Closed(end) = self.receive(deadline)? {
                return Ok((std::mem::take(&mut self.unread), end));
            }
        }
    }

    /// Waits until the subject has reset the connection, without reading anything.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the connection stays open, or is closed without a reset.
    pub fn wait_for_reset(&self) -> Outcome {
        let deadline = Instant::now() + patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            check!(!left.is_zero(), "a reset of the connection within {:?}", patience());
            let left = Timespec::try_from(left).map_err(|error| Failure::unmet(format!("a time to wait: {error}")))?;
            // Without requested events, `poll` reports only errors.
            match poll(&mut [PollFd::new(&self.stream, PollFlags::empty())], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Failure::unmet(format!("a socket that can be waited for: {error}"))),
            }
        }
    }

    /// Requires the subject to close the connection without another byte.
    ///
    /// # Errors
    ///
    /// [`Failure`] if another byte arrives, or the connection stays open.
    pub fn expect_close(&mut self) -> Outcome {
        let rest = self.read_to_end()?;
        check!(rest.is_empty(), "the end of the connection, not {:?}", rest.escape_ascii().to_string());
        Ok(())
    }

    /// Whether unread bytes, or the end of the connection, have arrived. Does not wait.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the socket cannot be switched between blocking and not.
    pub fn has_answer(&self) -> Result<bool, Failure> {
        if !self.unread.is_empty() {
            return Ok(true);
        }
        let set = |nonblocking| {
            let set = self.stream.set_nonblocking(nonblocking);
            set.map_err(|error| Failure::unmet(format!("a socket that may block or not: {error}")))
        };
        set(true)?;
        let peeked = self.stream.peek(&mut [0]);
        set(false)?;
        Ok(!peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
    }

    /// Reads all bytes that have arrived, at least one; none if the connection is closed.
    ///
    /// # Errors
    ///
    /// [`Failure`] if nothing arrives.
    pub fn read_some(&mut self) -> Result<Vec<u8>, Failure> {
        if self.unread.is_empty() {
            self.receive(Instant::now() + patience())?;
        }
        Ok(std::mem::take(&mut self.unread))
    }

    /// As [`read_some`](Self::read_some), but reads at most a kibibyte from the socket.
    ///
    /// # Errors
    ///
    /// [`Failure`] if nothing arrives.
    pub fn read_little(&mut self) -> Result<Vec<u8>, Failure> {
        if self.unread.is_empty() {
            self.receive_into(&mut [0; 1024], Instant::now() + patience())?;
        }
        Ok(std::mem::take(&mut self.unread))
    }

    /// Puts bytes back that [`read_some`](Self::read_some) returned. They are read again before all others.
    pub fn unread(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.unread);
        self.unread = bytes;
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) =
            self.read_chunk().map_err(|failure| failure.within(&format!("after {} bytes", body.len())))?
        {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads the next chunk of a chunked body; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the body ends early or is malformed.
    pub fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let line = self.take_line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size =
            usize::from_str_radix(digits, 16).map_err(|_| Failure::unmet(format!("a chunk size, not {line:?}")))?;
        if size == 0 {
            while !self.take_line()?.is_empty() {}
            return Ok(None);
        }
        let chunk = self.take(size)?;
        let end = self.take_line()?;
        check!(end.is_empty(), "the end of a chunk, not {end:?}");
        Ok(Some(chunk))
    }

    fn take_line(&mut self) -> Result<String, Failure> {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.unread.drain(..end + 2).take(end).collect::<Vec<u8>>();
                return String::from_utf8(line).map_err(|_| Failure::unmet("a chunk size in ASCII"));
            }
            if let Received::Closed(_) = self.receive(deadline)? {
                return Err(Failure::unmet("a complete response: the connection was closed between two chunks"));
            }
        }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + patience();
        while self.unread.len() < length {
            if let Received::Closed(_) = self.receive(deadline)? {
                let received = self.unread.len();
                return Err(Failure::unmet(format!(
                    "a complete response: the connection was closed after {received} of {length} bytes"
                )));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn receive(&mut self, deadline: Instant) -> Result<Received, Failure> {
        self.receive_into(&mut [0; 64 * 1024], deadline)
    }

    fn receive_into(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<Received, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        check!(!left.is_zero(), "a response, or the end of the connection, within {:?}", patience());
        self.set_timeouts(left)?;
        match self.stream.read(buffer) {
            Ok(0) => Ok(Received::Closed(End::Close)),
            Ok(count) => {
                self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(Received::Bytes)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Received::Bytes),
            Err(error) if is_disconnect(&error) => {
                self.transcript.note('*', format!("closed by the subject: {error}").as_bytes());
                Ok(Received::Closed(End::Reset))
            }
            Err(error) => {
                let rest = self.unread.escape_ascii().to_string();
                Err(Failure::unmet(format!(
                    "something to read within {:?} ({error}); unread so far: {rest:?}",
                    patience()
                )))
            }
        }
    }

    fn set_timeouts(&self, timeout: Duration) -> Outcome {
        self.stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| self.stream.set_write_timeout(Some(timeout)))
            .map_err(|error| Failure::unmet(format!("a timeout of the socket: {error}")))
    }
}

fn is_disconnect(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::NotConnected
    )
}
