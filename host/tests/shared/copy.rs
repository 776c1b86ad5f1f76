//! Tests of `copy` with real programs, folders and databases, for both runtimes.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use argus_servers::{TestMongo, TestPostgres};

/// The longest time to wait for a program.
const PATIENCE: Duration = Duration::from_secs(60);

/// Payloads that a copy could change.
const PAYLOADS: [&str; 7] = [
    "1.0",
    "1e400",
    "123456789012345678901234567890",
    r#"{"a":1,"a":1.0}"#,
    r#"{"\u0000":"\u0000"}"#,
    r#""\ud800""#,
    r#"{"ü":["é",{},[]],"b":null}"#,
];

/// A folder for one test, removed when dropped.
struct Folder(PathBuf);

/// A running server, killed when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("copy-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Server {
    fn start(program: &str, repository: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["--endpoint", "127.0.0.1:0", "--threads", "1", "--repository", repository]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("argus: listening on http://").unwrap().to_owned();
        Self { process, address }
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            connection,
            "{method} {target} HTTP/1.0\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\n\
             accept: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// All events by number.
    fn events(&self) -> String {
        let (status, body) = self.ask("GET", "/events?order=seq", "");
        assert_eq!(status, 200);
        body
    }

    fn post(&self, lines: &str) {
        let (status, body) = self.ask("POST", "/events", lines);
        assert_eq!(status, 201, "{body}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The exit code of a copy, and what it said on standard output and standard error.
fn copy(program: &str, from: &str, to: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(program).args(["copy", from, to]).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A copy that must be whole. Returns what it said.
fn copied(program: &str, from: &str, to: &str) -> String {
    let (code, said, errors) = copy(program, from, to);
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(said.ends_with(" s\n") && said.contains("read back, and the same"), "{said}");
    said
}

/// The checksum in what a copy said.
fn checksum(said: &str) -> &str {
    said.split_once("checksum ").unwrap().1.get(..32).unwrap()
}

/// Stores events with difficult payloads, in several commits, and erases some of them, also the first and the last one.
fn fill(server: &Server) {
    for round in 0..3 {
        let mut lines = String::new();
        for (index, payload) in PAYLOADS.iter().enumerate() {
            let id = if index % 2 == 0 { format!(r#""id":"order {round}/{index}","#) } else { String::new() };
            let nanos = 1_000 * round + index;
            let time = format!("2026-03-01T12:00:00.{nanos:09}Z");
            writeln!(lines, r#"{{{id}"event_type":"type {index}","timestamp":"{time}","payload":{payload}}}"#).unwrap();
        }
        server.post(&lines);
    }
    for (round, index) in [(0, 0), (1, 2), (2, 6)] {
        let (status, body) = server.ask("DELETE", &format!("/events?id=order%20{round}/{index}"), "");
        assert_eq!((status, body.trim()), (200, r#"{"erased":1}"#));
    }
}

/// From a folder that a server uses to another one, twice.
pub(crate) fn folders_are_copied_beside_a_server(program: &str) {
    let folder = Folder::new("folders");
    let (from, to, other) = (folder.path("from"), folder.path("to"), folder.path("other"));
    let server = Server::start(program, &from);
    fill(&server);
    let said = copied(program, &from, &format!("disk:{to}"));
    assert!(said.starts_with(&format!("argus: copied disk:{from} to disk:{to}: 18 events, checksum ")), "{said}");
    assert!(said.contains(", up to seq 21; 18 written now; "), "{said}");

    server.post(r#"{"event_type":"late","timestamp":"2026-03-01T12:00:00Z","payload":{}}"#);
    let more = copied(program, &from, &to);
    assert!(more.contains(": 19 events, ") && more.contains(", up to seq 22; 1 written now; "), "{more}");
    assert!(copied(program, &from, &to).contains("; 0 written now; "));
    let events = server.events();
    drop(server);

    let copy_of_copy = copied(program, &to, &other);
    assert_eq!(checksum(&copy_of_copy), checksum(&more));
    for path in [&to, &other] {
        let server = Server::start(program, path);
        assert_eq!(server.events(), events);
        let generated = events.lines().find(|line| line.contains(r#""seq":2,"#)).unwrap();
        let id = generated.split('"').nth(3).unwrap();
        assert_eq!(server.ask("GET", &format!("/events/{id}"), "").1.trim(), generated);
        let (status, body) = server.ask("POST", "/events", r#"{"event_type":"a","timestamp":0,"payload":1}"#);
        assert!(status == 201 && body.contains(r#""first_seq":23"#), "{status} {body}");
    }
}

/// Everything that must not be done.
pub(crate) fn unsuitable_repositories_are_refused(program: &str) {
    let folder = Folder::new("refused");
    let (from, to) = (folder.path("from"), folder.path("to"));
    let event = |id: &str| format!(r#"{{"id":"{id}","event_type":"a","timestamp":0,"payload":1}}"#);
    let server = Server::start(program, &from);
    server.post(&event("one"));
    let other = Server::start(program, &to);
    other.post(&event("two"));
    let before = other.events();
    let (code, _, said) = copy(program, &from, &to);
    assert!(code == Some(1) && said.contains("TO cannot be opened"), "a server uses it: {code:?} {said}");
    drop(other);
    let (code, _, said) = copy(program, &from, &to);
    let reason = "TO is not the beginning of a copy of FROM: its event 1 is another one than that of FROM. Nothing was \
                  written; name an empty repository";
    assert!(code == Some(1) && said.contains(reason), "{code:?} {said}");
    assert_eq!(Server::start(program, &to).events(), before);
    let (code, _, said) = copy(program, &folder.path("nowhere"), &folder.path("new"));
    assert!(code == Some(1) && said.contains("FROM cannot be opened") && said.contains("nowhere"), "{code:?} {said}");
    assert!(!Path::new(&folder.path("new")).exists(), "nothing was made");
    for (from, to, expected) in [
        ("memory:", &*to, "FROM: a repository in memory belongs to its process"),
        (&*from, "memory:", "TO: a repository in memory belongs to its process"),
        (&*from, &*from, "FROM and TO are the same repository"),
        (&*from, "s3://bucket", "unknown kind of repository 's3:'"),
    ] {
        let (code, _, said) = copy(program, from, to);
        assert!(code == Some(2) && said.contains(expected), "{code:?} {said}");
    }
}

/// Killed again and again, and continued.
pub(crate) fn a_killed_copy_is_continued(program: &str) {
    let folder = Folder::new("killed");
    let from = folder.path("from");
    let server = Server::start(program, &from);
    let filler = "x".repeat(200);
    for batch in 0..4 {
        let mut lines = String::new();
        for number in 0..5_000 {
            writeln!(
                lines,
                r#"{{"event_type":"a","timestamp":{number},"payload":{{"batch":{batch},"n":{number},"x":"{filler}"}}}}"#
            )
            .unwrap();
        }
        server.post(&lines);
    }
    let (to, deadline) = (folder.path("to"), Instant::now() + PATIENCE);
    let (mut kills, mut pause) = (0, Duration::from_millis(20));
    loop {
        assert!(Instant::now() < deadline, "it never gets to the end");
        let mut copying = Command::new(program);
        let mut copying =
            copying.args(["copy", &from, &to]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        let ended = loop {
            if let Some(status) = copying.try_wait().unwrap() {
                break Some(status);
            }
            if begun.elapsed() > pause {
                copying.kill().unwrap();
                copying.wait().unwrap();
                break None;
            }
            std::thread::yield_now();
        };
        match ended {
            Some(status) => {
                assert_eq!(status.code(), Some(0));
                break;
            }
            None => kills += 1,
        }
        // The later it is killed, the more is there.
        pause = pause * 3 / 2;
    }
    assert!(kills > 0);
    let said = copied(program, &from, &to);
    assert!(said.contains(": 20000 events, ") && said.contains("; 0 written now; "), "{said}");
    let events = server.events();
    drop(server);
    assert!(Server::start(program, &to).events() == events, "they have the same events");
}

/// From a folder to PostgreSQL, and back to another folder.
pub(crate) fn a_postgresql_database_is_copied(program: &str) {
    let Some(server) = TestPostgres::for_test() else { return };
    let schema = server.schema("copy");
    let schemas = || {
        let named = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", schema.name());
        server.sql(&named).unwrap().trim().to_owned()
    };
    a_database_is_copied(program, "postgres", &schema.url(), || assert_eq!(schemas(), "0"));
}

/// From a folder to MongoDB, and back to another folder.
pub(crate) fn a_mongodb_database_is_copied(program: &str) {
    let Some(server) = TestMongo::for_test() else { return };
    a_database_is_copied(program, "mongodb", &server.database("copy").url(), || ());
}

/// `is_untouched` checks that nobody has made anything in the database.
fn a_database_is_copied(program: &str, kind: &str, url: &str, is_untouched: impl FnOnce()) {
    let folder = Folder::new(kind);
    let (from, to) = (folder.path("from"), folder.path("to"));
    let (code, _, said) = copy(program, url, &to);
    // Whether this program was built with the feature is known to cargo alone, which builds the workspace as one.
    if code == Some(2) {
        assert!(said.contains("this program was built without"), "{said}");
        println!("skipped: {said}");
        return;
    }
    assert!(code == Some(1) && said.contains("there are no events of Argus"), "{code:?} {said}");
    is_untouched();

    let server = Server::start(program, &from);
    fill(&server);
    let events = server.events();
    drop(server);
    let said = copied(program, &from, url);
    assert!(said.contains(": 18 events, ") && said.contains(", up to seq 21; 18 written now; "), "{said}");
    assert!(copied(program, &from, url).contains("; 0 written now; "));
    let in_database = Server::start(program, url);
    assert_eq!(in_database.events(), events);
    let back = copied(program, url, &to);
    assert_eq!(checksum(&back), checksum(&said));
    for server in [Server::start(program, &to), in_database] {
        assert_eq!(server.events(), events);
        let (status, body) = server.ask("POST", "/events", r#"{"event_type":"a","timestamp":0,"payload":1}"#);
        assert!(status == 201 && body.contains(r#""first_seq":22"#), "{status} {body}");
    }
    let (code, _, said) = copy(program, &from, url);
    let reason = "its last sequence number is 22, and that of FROM is 21";
    assert!(code == Some(1) && said.contains(reason), "{code:?} {said}");
}
