//! A real Chromium that opens a page of another origin.
//!
//! The page comes from a small server of ours, to which its script sends what it found.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::programs;

/// The names under which it is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// How long to wait for a report. A browser needs some seconds to start, and more on a busy machine. Much shorter than
/// the time after which nextest ends a case, so that the case still says what it waits for.
const REPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection to the page's server may say nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A page, and the server that it comes from. The server ends with the process.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    listener: TcpListener,
}

/// A browser that shows the page. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    reports: Receiver<Value>,
    /// Its profile.
    _folder: TempDir,
}

/// The path of Chromium, if installed.
#[must_use]
pub fn program() -> Option<PathBuf> {
    NAMES.into_iter().find_map(programs::find)
}

impl Page {
    /// Chooses the origin of a page.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no port.
    pub fn new() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unmet("a port for a page"))?;
        let address = listener.local_addr().map_err(unmet("the address of a page"))?;
        Ok(Self { address, listener })
    }

    /// The origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens the page in a browser. `script` is the body of an asynchronous function; what it returns is the
    /// [report](Browser::report), and so is an error that it throws.
    ///
    /// # Errors
    ///
    /// [`Failure::Skipped`] if there is no Chromium, [`Failure::Unmet`] if it does not start.
    pub fn open(self, script: &str) -> Result<Browser, Failure> {
        let program = program().ok_or_else(|| Failure::skipped("needs Chromium (Debian: apt-get install chromium)"))?;
        let folder = TempDir::with_prefix("argus-chromium-").map_err(unmet("a folder for Chromium"))?;
        let (sender, reports) = channel();
        let origin = self.origin();
        let html = format!(
            "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script>
const report = (found) => fetch('/report', {{method: 'POST', body: JSON.stringify(found)}});
(async () => {{ {script} }})().catch((error) => ({{error: String(error)}})).then(report);
</script>"
        );
        thread::spawn(move || serve(&self.listener, &html, &sender));
        let child = Command::new(program)
            // In a container there is no sandbox, and little shared memory.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(origin)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(unmet("Chromium to start"))?;
        Ok(Browser { child, reports, _folder: folder })
    }
}

impl Browser {
    /// What the script found.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it threw an error, or reports nothing.
    pub fn report(&self) -> Result<Value, Failure> {
        let found = self.reports.recv_timeout(REPORT_TIMEOUT);
        let found = found.map_err(|_| Failure::unmet(format!("a report of the page within {REPORT_TIMEOUT:?}")))?;
        match found.get("error") {
            Some(error) => Err(Failure::unmet(format!("a script that works: {error}"))),
            None => Ok(found),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail only if the process has ended. Its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unmet(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::unmet(format!("{what}: {error}"))
}

/// Serves the page, and passes reports on. Each connection has a thread, because browsers open some in advance.
fn serve(listener: &TcpListener, html: &str, reports: &Sender<Value>) {
    for stream in listener.incoming().flatten() {
        let (html, reports) = (html.to_owned(), reports.clone());
        // An error is one of the browser, which asks again.
        thread::spawn(move || answer(stream, &html, &reports));
    }
}

fn answer(mut stream: TcpStream, html: &str, reports: &Sender<Value>) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let (head_bytes, is_report, body_bytes) = loop {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        if let Ok(httparse::Status::Complete(length)) = request.parse(&bytes) {
            let declared = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
            let declared = declared.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
            break (length, request.method == Some("POST"), declared.unwrap_or(0_usize));
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    };
    while bytes.len() < head_bytes + body_bytes {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    if is_report && let Ok(found) = serde_json::from_slice(bytes.get(head_bytes..).unwrap_or_default()) {
        // If nobody waits for it, the case is over.
        let _ = reports.send(found);
    }
    let content = if is_report { "" } else { html };
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{content}"
    )
}
