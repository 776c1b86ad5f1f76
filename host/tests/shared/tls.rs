//! Tests of TLS with clients that are not ours, for both runtimes: curl, openssl and Python.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. A test that passes does not wait that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events of an answer that is larger than all buffers on the way.
const EVENTS: usize = 30_000;

/// A server with a certificate of its own.
struct Server {
    child: Child,
    /// `https://127.0.0.1:PORT`
    url: String,
    folder: PathBuf,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(program: &str, test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        write_certificate(&folder);
        let mut child = command(program, &folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("argus: listening on ").unwrap().to_owned();
        assert!(url.starts_with("https://"), "{url}");
        Self { child, url, folder, stdout }
    }

    fn certificate(&self) -> String {
        self.folder.join("cert.pem").display().to_string()
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    /// Runs curl, which trusts the certificate that is in the folder now.
    fn curl(&self, arguments: &[&str], target: &str) -> Output {
        let url = format!("{}{target}", self.url);
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60", "--cacert", &self.certificate()])
            .args(arguments)
            .arg(url)
            .output();
        output.unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks the server to stop, and expects that it does so without a loss.
    fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if the server has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--endpoint", "127.0.0.1:0", "--repository", "memory:", "--threads", "2"]);
    command.arg("--tls-cert").arg(folder.join("cert.pem")).arg("--tls-key").arg(folder.join("key.pem"));
    command
}

/// Writes a new certificate for this machine, and its key.
fn write_certificate(folder: &Path) {
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
}

/// Whether a program is there; says so if it is not, or fails if the variable `ARGUS_REQUIRE_CLIENTS` is set.
fn has(program: &str, arguments: &[&str]) -> bool {
    let found = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("ARGUS_REQUIRE_CLIENTS").is_none(), "there is no {program}");
        eprintln!("SKIPPED: there is no {program}");
    }
    found
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Small and large answers and bodies, over both versions of TLS.
pub(crate) fn serves_curl(program: &str) {
    if !has("curl", &["--version"]) {
        return;
    }
    let server = Server::start(program, "curl");
    let lines = "{\"event_type\":\"tls\",\"timestamp\":0,\"payload\":\"0123456789\"}\n".repeat(EVENTS);
    let body = server.folder.join("lines");
    fs::write(&body, lines).unwrap();
    let data = format!("@{}", body.display());
    let sent = server.curl(&["--data-binary", &data, "-H", "content-type: application/x-ndjson"], "/events");
    assert!(sent.status.success() && text(&sent).contains(&format!("\"accepted\":{EVENTS}")), "{}", text(&sent));
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let health = server.curl(version, "/health");
        assert!(text(&health).contains("\"status\":\"pass\""), "{}", text(&health));
        let found = server.curl(version, "/events");
        assert!(found.status.success(), "{}", text(&found));
        assert_eq!(String::from_utf8_lossy(&found.stdout).matches("\"seq\":").count(), EVENTS);
        // HTTP/1.0: only the end of the connection tells where the answer ends.
        let found = server.curl(&[version, &["--http1.0"]].concat(), "/events");
        assert!(found.status.success(), "{}", text(&found));
        assert_eq!(String::from_utf8_lossy(&found.stdout).matches("\"seq\":").count(), EVENTS);
    }
    let untrusted = Command::new("curl").args(["--silent", &format!("{}/health", server.url)]).output().unwrap();
    assert!(!untrusted.status.success(), "nobody vouches for the certificate");
    let metrics = text(&server.curl(&[], "/metrics"));
    assert!(metrics.contains("argus_tls_handshakes_total{outcome=\"complete\"}"), "{metrics}");
    server.stop();
}

/// A client that sends its request and announces its end at once, and two requests on a connection.
pub(crate) fn serves_openssl_and_python(program: &str) {
    let server = Server::start(program, "clients");
    if has("openssl", &["version"]) {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-alpn", "http/1.1", "-connect", server.address()])
            .args(["-CAfile", &server.certificate()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.stdin.as_mut().unwrap().write_all(request).unwrap();
        let mut answer = String::new();
        client.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
        let _ = client.kill();
        client.wait().unwrap();
    }
    if has("python3", &["--version"]) {
        let script = "
import http.client, socket, ssl, sys
host, port = sys.argv[1].split(':')
context = ssl.create_default_context(cafile=sys.argv[2])
context.set_alpn_protocols(['http/1.1'])
connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
for body in [b'[]', b'[{\"event_type\":\"py\",\"timestamp\":0,\"payload\":1}]']:
    connection.request('POST', '/events', body, {'content-type': 'application/json'})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 201, answer.status
assert connection.sock.selected_alpn_protocol() == 'http/1.1'
connection.close()
# The request, and the end of what this client sends. The answer comes anyway, and after it the end of TLS.
raw = context.wrap_socket(socket.create_connection((host, int(port)), 60), server_hostname=host)
raw.sendall(b'GET /events HTTP/1.0\\r\\n\\r\\n')
received = b''
while chunk := raw.recv(65536):
    received += chunk
assert received.count(b'\"seq\":') == 1, received
raw.unwrap().close()
";
        let output =
            Command::new("python3").args(["-c", script, server.address(), &server.certificate()]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    server.stop();
}

/// Live streams: Server-Sent Events to curl, and a WebSocket to Python, both until the server drains.
pub(crate) fn streams_events(program: &str) {
    if !has("curl", &["--version"]) || !has("python3", &["--version"]) {
        return;
    }
    let server = Server::start(program, "streams");
    let event = r#"[{"event_type":"live","timestamp":0,"payload":1}]"#;
    let store = || server.curl(&["-H", "content-type: application/json", "--data", event], "/events");
    assert!(store().status.success());
    let mut curl = Command::new("curl")
        .args(["--silent", "--no-buffer", "--max-time", "60", "--cacert", &server.certificate()])
        .args(["-H", "accept: text/event-stream", &format!("{}/events/stream?after_seq=0", server.url)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut python = Command::new("python3")
        .args(["-c", WEBSOCKET, server.address(), &server.certificate()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut outputs = [&mut curl, &mut python].map(|client| BufReader::new(client.stdout.take().unwrap()));
    // The first event is history. The second is sent once both clients have it, and is live.
    for seq in ["\"seq\":1,", "\"seq\":2,"] {
        for output in &mut outputs {
            let mut line = String::new();
            while !line.contains(seq) {
                line.clear();
                assert_ne!(output.read_line(&mut line).unwrap(), 0, "the stream ends before {seq}");
            }
        }
        if seq == "\"seq\":1," {
            assert!(store().status.success());
        }
    }
    server.stop();
    for (mut output, (mut client, end)) in
        outputs.into_iter().zip([(curl, "event: drain\ndata: {\"after_seq\":2}"), (python, "1001 after_seq=2")])
    {
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert!(rest.contains(end), "{end:?} in {rest:?}");
        assert!(client.wait().unwrap().success());
    }
}

/// Prints the messages of a WebSocket, and the code and reason of its close frame. Python has no client of its own.
const WEBSOCKET: &str = "
import socket, ssl, struct, sys
host, port = sys.argv[1].split(':')
context = ssl.create_default_context(cafile=sys.argv[2])
stream = context.wrap_socket(socket.create_connection((host, int(port)), 60), server_hostname=host)
stream.sendall(b'GET /events/stream?after_seq=0 HTTP/1.1\\r\\nhost: x\\r\\n'
    b'upgrade: websocket\\r\\nconnection: upgrade\\r\\n'
    b'sec-websocket-version: 13\\r\\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n')
file = stream.makefile('rb')
assert file.readline().startswith(b'HTTP/1.1 101 ')
while file.readline() != b'\\r\\n':
    pass
while True:
    first, length = file.read(2)
    if length == 126:
        length, = struct.unpack('>H', file.read(2))
    payload = file.read(length)
    if first == 0x88:
        print(struct.unpack('>H', payload[:2])[0], payload[2:].decode(), flush=True)
        stream.sendall(bytes([0x88, 0x80 | len(payload)]) + bytes(4) + payload)
        break
    if first == 0x81:
        print(payload.decode(), flush=True)
assert stream.recv(1) == b'', 'the end of TLS'
";

/// A client without TLS is told so; certificates are replaced; bad ones keep the server from starting.
pub(crate) fn explains_itself(program: &str) {
    let server = Server::start(program, "explains");
    // As in a container, where the settings are variables; and by its URL.
    let mut health = Command::new(program);
    health.arg("health").env("ARGUS_ENDPOINT", server.address()).env("ARGUS_TLS_CERT", server.certificate());
    let by_settings = health.env("ARGUS_TLS_KEY", server.folder.join("key.pem")).output().unwrap();
    let by_url = Command::new(program).args(["health", &server.url]).output().unwrap();
    let plain = Command::new(program).args(["health", &format!("http://{}", server.address())]).output().unwrap();
    for (output, code, expected) in [(by_settings, 0, "200 {"), (by_url, 0, "200 {"), (plain, 1, "400 {")] {
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(expected), "{}", text(&output));
    }
    let mut plain = TcpStream::connect(server.address()).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer:?}");
    if has("curl", &["--version"]) {
        // The second time without a signal: the server notices by itself.
        for signal in [Some("-HUP"), None] {
            write_certificate(&server.folder);
            if let Some(signal) = signal {
                server.signal(signal);
            }
            let begun = Instant::now();
            while !server.curl(&[], "/health").status.success() {
                assert!(begun.elapsed() < PATIENCE, "the new certificate is not in use");
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
    fs::write(server.folder.join("cert.pem"), "nonsense").unwrap();
    let refused = command(program, &server.folder).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("cert.pem: there is no certificate in PEM"), "{}", text(&refused));
    server.stop();
}
