//! TLS between a client of rustls and the wire, over connections in memory and in manual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use argus_core::subscribe::Feed;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

use super::stream::TlsStream;
use super::{Tls, TlsError};
use crate::socket::{Socket, TcpState};
use crate::testing::{Connected, End, MemoryStream, Server, connection};
use crate::tls_options::TlsOptions;

/// A certificate in files, and what a client has to trust.
struct Authority {
    folder: TempDir,
    trusted: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trusted = write_certificate(&folder, "argus.test");
        Self { folder, trusted }
    }

    fn tls(&self) -> Tls {
        load(self.folder.path().join("cert.pem"), self.folder.path().join("key.pem")).unwrap()
    }

    fn client(&self, name: &str) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap()
    }
}

fn load(certificate: PathBuf, key: PathBuf) -> Result<Tls, TlsError> {
    let options = TlsOptions { tls_cert: Some(certificate), tls_key: Some(key) };
    Tls::of(&options).map(Option::unwrap)
}

/// Writes a certificate for this name and its key.
fn write_certificate(folder: &TempDir, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn server(authority: &Authority, flags: &str) -> Server {
    Server::start_with_tls(flags, Some(authority.tls()))
}

/// A TLS client on a connection to the server.
struct Encrypted {
    connected: Connected,
    session: ClientConnection,
    received: Vec<u8>,
    /// The server has announced the end.
    has_ended: bool,
}

impl Encrypted {
    fn connect(server: &Server, session: ClientConnection) -> Self {
        let mut client = Self { connected: server.connect(), session, received: Vec::new(), has_ended: false };
        client.exchange();
        client
    }

    /// Moves bytes between both until neither has any.
    fn exchange(&mut self) {
        loop {
            let mut sent = Vec::new();
            while self.session.wants_write() {
                self.session.write_tls(&mut sent).unwrap();
            }
            self.connected.client.send(&sent);
            self.connected.run_until_idle();
            let arrived = self.connected.client.take_bytes();
            if sent.is_empty() && arrived.is_empty() {
                return;
            }
            let mut rest = arrived.as_slice();
            while !rest.is_empty() {
                self.session.read_tls(&mut rest).unwrap();
                let state = self.session.process_new_packets().unwrap();
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                self.session.reader().read_exact(&mut plain).unwrap();
                self.received.extend_from_slice(&plain);
                self.has_ended |= state.peer_has_closed();
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // The client's session buffers no more than some of these.
        for piece in bytes.chunks(16 * 1024) {
            self.session.writer().write_all(piece).unwrap();
            self.exchange();
        }
    }

    /// Everything received, once it has this end.
    fn wait_for(&mut self, end: &str) -> String {
        loop {
            self.exchange();
            let received = String::from_utf8_lossy(&self.received).into_owned();
            if received.ends_with(end) {
                self.received.clear();
                return received;
            }
            assert!(!self.connected.is_over(), "the connection ended with {received:?}");
            self.connected.wait();
        }
    }
}

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

fn expect_handshakes(server: &Server, outcome: &str, count: usize) {
    let metrics = server.node.metrics.render(&crate::metrics::Gauges::default()).unwrap();
    let line = format!("argus_tls_handshakes_total{{outcome=\"{outcome}\"}} {count}\n");
    assert!(metrics.contains(&line), "{line} is not in {metrics}");
}

#[test]
fn requests_are_answered_one_after_the_other_and_the_end_is_announced() {
    let authority = Authority::new();
    let server = server(&authority, "--keep-alive-timeout 5s");
    let mut client = Encrypted::connect(&server, authority.client("argus.test"));
    assert!(!client.session.is_handshaking());
    assert_eq!(client.session.alpn_protocol(), None);
    for _ in 0..2 {
        client.send(HEALTH);
        assert!(client.wait_for("\n").starts_with("HTTP/1.1 200 OK\r\n"));
    }
    server.time.advance(Duration::from_secs(5));
    client.exchange();
    assert!(client.has_ended, "an idle connection is closed in order");
    assert_eq!(client.connected.client.end(), Some(End::Close));
    expect_handshakes(&server, "complete", 1);
}

#[test]
fn a_body_arrives_in_any_pieces_and_a_cut_one_is_not_whole() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let event = br#"{"event_type":"a","timestamp":0,"payload":1}"#;
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        event.len()
    );
    let mut client = Encrypted::connect(&server, authority.client("argus.test"));
    for byte in [head.as_bytes(), event].concat() {
        client.send(&[byte]);
    }
    assert!(client.wait_for("\n").starts_with("HTTP/1.1 201 Created\r\n"));
    // TCP ends, and TLS does not: somebody may have cut the body off.
    let mut cut = Encrypted::connect(&server, authority.client("argus.test"));
    cut.send(format!("{head}{{").as_bytes());
    cut.connected.client.finish();
    cut.exchange();
    assert!(!String::from_utf8_lossy(&cut.received).contains(" 201 "));
    cut.connected.wait_for_end();
    let metrics = server.node.metrics.render(&crate::metrics::Gauges::default()).unwrap();
    assert!(metrics.contains("argus_connection_incidents_total{kind=\"broken\"} 1\n"), "{metrics}");
}

#[test]
fn a_client_that_has_announced_its_end_still_gets_its_answer() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let mut client = Encrypted::connect(&server, authority.client("argus.test"));
    client.session.writer().write_all(HEALTH).unwrap();
    client.session.send_close_notify();
    client.exchange();
    assert!(client.wait_for("\n").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_handshake_has_the_time_of_a_head() {
    let authority = Authority::new();
    let server = server(&authority, "--header-timeout 3s");
    let mut hello = Vec::new();
    authority.client("argus.test").write_tls(&mut hello).unwrap();
    for sent in [&[][..], hello.get(..20).unwrap()] {
        let mut connected = server.connect();
        connected.send(sent);
        server.time.advance(Duration::from_millis(2999));
        connected.run_until_idle();
        assert!(!connected.is_over());
        server.time.advance(Duration::from_millis(1));
        assert_eq!(connected.expect_end(End::Close), "", "nothing can be said without keys");
    }
    expect_handshakes(&server, "timeout", 2);
}

#[test]
fn a_client_without_tls_is_told_so() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let mut connected = server.connect();
    connected.send(HEALTH);
    let answer = connected.client.take();
    // More that nobody reads would reset the connection, and the answer might be lost.
    connected.send(b"more");
    assert!(!connected.is_over());
    assert_eq!(connected.client.unread_by_server(), 0);
    connected.client.finish();
    assert_eq!(connected.expect_end(End::Close), "");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("https://"), "{answer}");
    expect_handshakes(&server, "plain_http", 1);
    let mut connected = server.connect();
    connected.send(b"\x16\x03\x01\x00\x05hello");
    connected.wait_for_end();
    expect_handshakes(&server, "failed", 1);
    let mut connected = server.connect();
    connected.client.leave();
    connected.run_until_idle();
    assert!(connected.is_over());
    expect_handshakes(&server, "gone", 1);
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let authority = Authority::new();
    let server = server(&authority, "--write-timeout 5s");
    let mut writer = Encrypted::connect(&server, authority.client("argus.test"));
    let event = "{\"event_type\":\"a\",\"timestamp\":0,\"payload\":1}\n".repeat(2000);
    writer.send(
        format!(
            "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n\
             {event}",
            event.len()
        )
        .as_bytes(),
    );
    assert!(writer.wait_for("\n").starts_with("HTTP/1.1 201 Created\r\n"));
    for target in ["/events", "/openapi.json"] {
        // Room for a handshake, and for little of an answer.
        let mut client = Encrypted {
            connected: server.connect_with_room(4096),
            session: authority.client("argus.test"),
            received: Vec::new(),
            has_ended: false,
        };
        client.exchange();
        client.session.writer().write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        let mut sent = Vec::new();
        client.session.write_tls(&mut sent).unwrap();
        client.connected.client.send(&sent);
        client.connected.run_until_idle();
        server.time.advance(Duration::from_secs(6));
        client.connected.wait_for_end();
        assert_eq!(client.connected.client.end(), Some(End::Reset), "{target}");
        let rest = client.connected.client.take_bytes();
        let mut rest = rest.as_slice();
        let mut has_ended = false;
        while !rest.is_empty() {
            client.session.read_tls(&mut rest).unwrap();
            has_ended |= client.session.process_new_packets().unwrap().peer_has_closed();
            let _ = client.session.reader().read_to_end(&mut Vec::new());
        }
        assert!(!has_ended, "a reset is not announced as an end");
    }
}

#[test]
fn a_websocket_that_was_slow_once_stays_open() {
    let authority = Authority::new();
    let server = server(&authority, "--write-timeout 5s --stream-heartbeat 1h");
    let mut reader = Encrypted {
        // Room for a handshake, and for a part of an event.
        connected: server.connect_with_room(4096),
        session: authority.client("argus.test"),
        received: Vec::new(),
        has_ended: false,
    };
    reader.exchange();
    reader.send(
        b"GET /events/stream HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert!(reader.wait_for("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    let mut writer = Encrypted::connect(&server, authority.client("argus.test"));
    let event = format!("{{\"event_type\":\"a\",\"timestamp\":0,\"payload\":\"{}\"}}", "x".repeat(9000));
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    writer.send(format!("{head}content-length: {}\r\n\r\n{event}", event.len()).as_bytes());
    assert!(writer.wait_for("\n").starts_with("HTTP/1.1 201 Created\r\n"));
    server.node.streams.look(&mut Feed::default(), || server.node.committer.reader()).unwrap();
    reader.wait_for("x\"}");
    for _ in 0..3 {
        server.time.advance(Duration::from_secs(6));
        reader.exchange();
        assert!(!reader.connected.is_over(), "the client has taken everything");
    }
}

#[test]
fn a_certificate_is_replaced_and_a_bad_one_is_not_used() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let trusts = |trusted: &CertificateDer<'static>| {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority { folder, trusted: trusted.clone() };
        let mut connected = server.connect();
        let mut session = authority.client("argus.test");
        let mut sent = Vec::new();
        session.write_tls(&mut sent).unwrap();
        connected.send(&sent);
        let arrived = connected.client.take_bytes();
        let mut rest = arrived.as_slice();
        while !rest.is_empty() {
            session.read_tls(&mut rest).unwrap();
            if session.process_new_packets().is_err() {
                return false;
            }
        }
        true
    };
    let old = authority.trusted.clone();
    assert!(trusts(&old));
    let (tls, warnings) = (server.node.tls.clone().unwrap(), &server.node.warnings);
    tls.look(warnings);
    fs::write(authority.folder.path().join("cert.pem"), "no certificate").unwrap();
    tls.look(warnings);
    assert!(trusts(&old), "the old certificate stays in use");
    assert!(warnings.text().unwrap().contains("the new certificate cannot be used"));
    let new = write_certificate(&authority.folder, "argus.test");
    tls.look(warnings);
    assert!(trusts(&new) && !trusts(&old));
    assert_eq!(warnings.text(), None);
}

#[test]
fn files_are_read_again_even_if_only_their_contents_have_changed() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let (tls, warnings) = (server.node.tls.clone().unwrap(), &server.node.warnings);
    let path = authority.folder.path().join("cert.pem");
    let valid = fs::read(&path).unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    // With the same length and time, as after `cp -p` or a change of permissions.
    for (contents, is_wrong) in [(vec![b'x'; valid.len()], true), (valid, false)] {
        fs::write(&path, contents).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        tls.look(warnings);
        assert_eq!(warnings.text().is_some(), is_wrong);
    }
}

#[test]
fn files_that_are_no_certificate_say_what_is_wrong_with_which() {
    let authority = Authority::new();
    let (cert, key) = (authority.folder.path().join("cert.pem"), authority.folder.path().join("key.pem"));
    let other = Authority::new();
    let missing = authority.folder.path().join("missing.pem");
    let garbage = authority.folder.path().join("garbage.pem");
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (cert, key, words) in [
        (&missing, &key, ["missing.pem", "there is no such file"]),
        (&cert, &missing, ["missing.pem", "there is no such file"]),
        (&key, &key, ["key.pem", "no certificate in PEM"]),
        (&cert, &cert, ["cert.pem", "no private key in PEM"]),
        (&cert, &other.folder.path().join("key.pem"), ["cert.pem", "is not that of the first certificate"]),
        (&garbage, &key, ["garbage.pem", "not valid"]),
    ] {
        let message = load(cert.clone(), key.clone()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn a_handshake_has_a_greatest_length() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let mut connected = server.connect();
    // The beginning of a greeting of 60,000 bytes, in records of their own.
    let first = [&[0x16, 3, 1, 0x10, 0, 1, 0, 0xea, 0x60][..], &[0; 4092]].concat();
    let next = [&[0x16, 3, 1, 0x10, 0][..], &[0; 4096]].concat();
    for record in [&first, &next, &next] {
        connected.send(record);
        assert!(!connected.is_over());
    }
    connected.send(&next);
    connected.wait_for_end();
    expect_handshakes(&server, "failed", 1);
}

#[test]
fn a_drain_ends_a_handshake() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let mut connected = server.connect();
    connected.run_until_idle();
    server.node.lifecycle.drain();
    connected.wait_for_end();
    expect_handshakes(&server, "gone", 1);
}

/// A request to store an event of many bytes, all in one record.
fn upload(bytes: usize) -> (String, String) {
    let event = "{\"event_type\":\"a\",\"timestamp\":0,\"payload\":\"\"}";
    let event = event.replace("\"\"}", &format!("\"{}\"}}", "x".repeat(bytes - event.len())));
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    (format!("{head}content-length: {}\r\n\r\n", event.len()), event)
}

#[test]
fn a_record_that_arrives_slowly_is_no_stalled_body() {
    let authority = Authority::new();
    let server = server(&authority, "--body-timeout 5s --min-body-rate 1KiB");
    for is_slow in [false, true] {
        let mut client = Encrypted::connect(&server, authority.client("argus.test"));
        let (head, event) = upload(16_000);
        client.send(head.as_bytes());
        client.session.writer().write_all(event.as_bytes()).unwrap();
        let mut sent = Vec::new();
        client.session.write_tls(&mut sent).unwrap();
        let bytes = if is_slow { 500 } else { 1200 };
        for piece in sent.chunks(bytes) {
            server.time.advance(Duration::from_secs(1));
            client.connected.client.send(piece);
            client.connected.run_until_idle();
        }
        let status = if is_slow { "408" } else { "201" };
        assert!(client.wait_for("\n").starts_with(&format!("HTTP/1.1 {status} ")), "{is_slow}");
    }
}

#[test]
fn what_follows_a_refusal_is_discarded_as_it_arrives() {
    let authority = Authority::new();
    let server = server(&authority, "");
    let mut client = Encrypted::connect(&server, authority.client("argus.test"));
    client.send(
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n",
    );
    assert!(String::from_utf8_lossy(&client.received).starts_with("HTTP/1.1 413 "));
    // Less than a record in all, and in the end no record.
    for _ in 0..5 {
        server.time.advance(Duration::from_secs(4));
        client.connected.send(&[0x17, 3, 3]);
        assert!(!client.connected.is_over(), "the client still sends");
    }
    client.connected.client.finish();
    client.connected.wait_for_end();
    assert_eq!(client.connected.client.end(), Some(End::Close));
}

#[test]
fn a_read_gives_way_to_other_tasks() {
    let authority = Authority::new();
    let mut session = authority.client("argus.test");
    let (stream, client) = connection(1 << 20);
    let reads = Rc::new(Cell::new(0));
    let socket = Dribbling { stream, reads: Rc::clone(&reads) };
    let mut server = TlsStream::new(socket, authority.tls().session().unwrap());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    while session.is_handshaking() || session.wants_write() {
        let mut sent = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut sent).unwrap();
        }
        client.send(&sent);
        let _ = server.poll_handshake(&mut cx);
        let arrived = client.take_bytes();
        let mut rest = arrived.as_slice();
        while !rest.is_empty() {
            session.read_tls(&mut rest).unwrap();
            session.process_new_packets().unwrap();
        }
    }
    session.writer().write_all(&[b'x'; 1000]).unwrap();
    let mut sent = Vec::new();
    session.write_tls(&mut sent).unwrap();
    client.send(&sent);
    let mut bytes = [0; 2000];
    let mut polls = 0;
    loop {
        let before = reads.get();
        woken.0.store(false, Ordering::SeqCst);
        let mut read = ReadBuf::new(&mut bytes);
        let poll = Pin::new(&mut server).poll_read(&mut cx, read.unfilled());
        assert!(reads.get() - before <= 16);
        polls += 1;
        match poll {
            Poll::Ready(done) => {
                done.unwrap();
                assert_eq!(read.filled().len(), 1000);
                break;
            }
            Poll::Pending => assert!(woken.0.load(Ordering::SeqCst), "nobody else would wake the task"),
        }
    }
    assert!(polls > 60, "{polls}");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A socket that gives out a byte at a time.
struct Dribbling {
    stream: MemoryStream,
    reads: Rc<Cell<usize>>,
}

impl Read for Dribbling {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.reads.set(self.reads.get() + 1);
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.stream).poll_read(cx, read.unfilled()))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Dribbling {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Socket for Dribbling {
    fn reset_on_close(&self, reset: bool) {
        self.stream.reset_on_close(reset);
    }

    fn has_input(&self) -> bool {
        self.stream.has_input()
    }

    fn acknowledged(&self) -> Option<u64> {
        self.stream.acknowledged()
    }

    fn tcp_state(&self) -> Option<TcpState> {
        self.stream.tcp_state()
    }
}
