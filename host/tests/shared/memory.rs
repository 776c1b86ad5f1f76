//! Tests of a server's memory against its plan, for both runtimes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

const MIB: usize = 1 << 20;
const BODY_BYTES: usize = 7 * MIB / 2;
const WRITERS: usize = 16;
const CLIENTS: usize = 800;
const HALF_BYTES: usize = 100_000;

/// The kernel's name for a process's memory without its pages of files. How many pages of the program are present
/// depends on what has run, and on what else needs memory.
const ANONYMOUS: &str = "RssAnon:";

const SETTINGS: [&str; 10] = [
    "--threads",
    "2",
    "--max-connections",
    "64",
    "--max-body-bytes",
    "4MiB",
    "--max-inflight-bytes",
    "16MiB",
    "--commit-queue-bytes",
    "4MiB",
];

/// Sends more bodies than there is memory for: plain and compressed, with events in order and out of order, with few
/// large events and many small ones. The server may refuse some, but must stay within its planned memory.
pub(crate) fn stays_within_its_plan(program: &str) {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("SKIPPED: without /proc, the peak memory of a process is unknown");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{}", std::process::id()));
    let server = Server::start(program, &SETTINGS, &folder);
    let idle = server.memory("VmRSS:");
    let ordered = lines(true, 200);
    let bodies =
        [(gzip(&ordered), "content-encoding: gzip\r\n"), (ordered, ""), (lines(false, 200), ""), (lines(false, 0), "")];
    let mut answers = BTreeMap::new();
    for (body, coding) in &bodies {
        let statuses: Vec<u16> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| server.post(body, coding))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        for status in statuses {
            *answers.entry(status).or_insert(0) += 1;
        }
    }
    let peak = server.memory("VmHWM:");
    let metrics = server.get("/metrics");
    let gauge = format!("argus_memory_planned_bytes {}\n", server.planned_bytes);
    assert!(metrics.contains(&gauge), "{gauge} is not in the metrics");
    let stored: usize = answers.get(&201).copied().unwrap_or_default();
    assert!(stored >= bodies.len(), "{answers:?}");
    assert!(answers.keys().all(|status| matches!(status, 201 | 413 | 503)), "{answers:?}");
    // Count only planned memory that this test can use, so that an excess elsewhere shows.
    let planned = |name: &str| server.terms.get(name).unwrap() * MIB;
    let fresh = planned("fresh").min(2 * stored * BODY_BYTES);
    let planned = planned("bodies") + planned("working") + planned("commits") + fresh;
    let taken = peak - idle;
    eprintln!("{program}: {} MiB of {} MiB planned; {answers:?}", taken / MIB, planned / MIB);
    assert!(taken <= planned, "{} MiB were taken, and {} MiB planned", taken / MIB, planned / MIB);
    drop(server);
    let _ = fs::remove_dir_all(folder);
}

/// Incomplete bodies take memory, which must return to the system when their connections are closed.
pub(crate) fn freed_memory_is_returned(program: &str) {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("SKIPPED: without /proc, the memory of a process is unknown");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("freed-{}", std::process::id()));
    let server = Server::start(program, &[], &folder);
    let idle = server.memory(ANONYMOUS);
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 200000\r\n\r\n";
    let half = format!("{head}{}", " ".repeat(HALF_BYTES));
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(half.as_bytes()).unwrap();
            stream
        })
        .collect();
    let is_held = || server.memory(ANONYMOUS) >= idle + CLIENTS * HALF_BYTES;
    assert!(
        becomes_true(is_held),
        "{CLIENTS} halves of a body, and {} bytes more than idle",
        server.memory(ANONYMOUS) - idle
    );
    drop(clients);
    // glibc keeps the free end of each thread's heap. Without `malloc_trim`, it would keep more than this.
    let is_returned = || server.memory(ANONYMOUS) <= idle + CLIENTS * HALF_BYTES / 2;
    assert!(becomes_true(is_returned), "{} MiB are left of them", (server.memory(ANONYMOUS) - idle) / MIB);
    drop(server);
    let _ = fs::remove_dir_all(folder);
}

/// Whether the condition becomes true within a minute.
fn becomes_true(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    true
}

/// Lines of events, each with a number and a text of `payload_bytes` as its payload.
fn lines(in_order: bool, payload_bytes: usize) -> Vec<u8> {
    let text = "x".repeat(payload_bytes);
    let line = |number: usize| {
        let time = if in_order { number } else { (number * 7919) % 1_000_003 };
        format!("{{\"event_type\":\"page.view\",\"timestamp\":{time},\"payload\":[{number},\"{text}\"]}}\n")
    };
    let mut body = Vec::with_capacity(BODY_BYTES);
    for line in (0..).map(line) {
        if body.len() + line.len() > BODY_BYTES {
            break;
        }
        body.extend(line.bytes());
    }
    body
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A running server. Killed on drop.
struct Server {
    child: Child,
    address: String,
    /// The planned memory from the server's log: bytes in all, and MiB per purpose.
    planned_bytes: usize,
    terms: BTreeMap<String, usize>,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(program: &str, settings: &[&str], folder: &Path) -> Self {
        let mut child = Command::new(program)
            .args(["--endpoint", "127.0.0.1:0"])
            .args(settings)
            .args(["--repository", &format!("disk:{}", folder.display())])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (planned_bytes, terms) = read_plan(BufReader::new(child.stderr.take().unwrap()));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().to_owned();
        Self { child, address, planned_bytes, terms, _stdout: stdout }
    }

    /// A figure of the kernel about the process, in bytes.
    fn memory(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// The status of the answer, which may arrive before the whole body was sent.
    fn post(&self, body: &[u8], fields: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n{fields}\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A refusal may come before the end of the body, and has to arrive anyway.
        stream.write_all(body).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8_lossy(status.split_at(9).1).parse().unwrap()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `… 640 MiB (base 64, workers 8, …) … bytes=671088640`
fn read_plan(mut log: BufReader<ChildStderr>) -> (usize, BTreeMap<String, usize>) {
    let mut line = String::new();
    while !line.contains("memory under these settings") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the log ends without a plan");
    }
    // Drain the log, so that the server does not block on it.
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let digits =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().unwrap();
    let bytes = digits(line.split("bytes=").nth(1).unwrap());
    let terms = line.split('(').nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let terms = terms.split(", ").map(|term| {
        let (name, mib) = term.split_once(' ').unwrap();
        (name.to_owned(), mib.parse().unwrap())
    });
    (bytes, terms.collect())
}
