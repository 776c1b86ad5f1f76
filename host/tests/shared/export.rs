//! Tests of `export` beside a running server, for both runtimes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const EVENTS: &str = concat!(
    r#"{"event_type":"b","timestamp":"2026-03-01T12:00:01Z","id":"second","payload":{"n":2,"x":[1]}}"#,
    "\n",
    r#"{"event_type":"a","timestamp":"2026-03-01T12:00:00Z","id":"first","payload":{"n":1.50}}"#,
    "\n",
);

/// A running server, killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on this folder, and stores the events.
fn serve(program: &str, data: &Path) -> Server {
    let mut command = Command::new(program);
    command.args(["--endpoint", "127.0.0.1:0", "--threads", "1", "--repository"]).arg(data);
    let mut server = Server(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("argus: listening on http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "POST /events HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\n\r\n{EVENTS}",
        EVENTS.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server
}

/// The exit code of an export, and what it said on standard error.
fn export(program: &str, data: &Path, output: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    command.arg("export").arg(data).arg("--output").arg(output).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Exports what a running server has stored, in all formats that the program can write.
pub(crate) fn exports_beside_a_server(program: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let data = folder.join("data");
    let _server = serve(program, &data);

    let path = folder.join("events.csv");
    let (code, said) = export(program, &data, &path, &["--format", "csv"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = "id,seq,event_type,timestamp,payload,payload.n,payload.x\r\n\
                    first,2,a,2026-03-01T12:00:00Z,\"{\"\"n\"\":1.50}\",1.50,\r\n\
                    second,1,b,2026-03-01T12:00:01Z,\"{\"\"n\"\":2,\"\"x\"\":[1]}\",2,[1]\r\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let line = format!(
        "argus: exported {} to {}: 2 events, {} bytes, up to seq 2, in ",
        data.display(),
        path.display(),
        expected.len()
    );
    assert!(said.starts_with(&line) && said.ends_with(" s; 2 columns for paths in payloads\n"), "{said}");

    let (code, said) = export(program, &data, &path, &["--format", "ndjson"]);
    assert!(code == Some(1) && said.contains("is not replaced"), "{code:?} {said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    let path = folder.join("events.ndjson");
    let (code, said) = export(program, &data, &path, &["--format", "ndjson", "--payload", "n[lt]=2"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = concat!(
        r#"{"id":"first","seq":2,"event_type":"a","timestamp":"2026-03-01T12:00:00Z","payload":{"n":1.50}}"#,
        "\n",
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    for (format, magic) in [("parquet", "PAR1"), ("arrow", "ARROW1")] {
        let path = folder.join(format!("events.{format}"));
        let (code, said) = export(program, &data, &path, &["--format", format]);
        // Whether this program was built with the feature is known to cargo alone, which builds the workspace as one.
        match code {
            Some(0) => assert!(fs::read(&path).unwrap().starts_with(magic.as_bytes()), "{format}"),
            other => assert!(other == Some(2) && said.contains("without the feature `export`"), "{other:?} {said}"),
        }
    }
    for (arguments, expected) in [
        (&["--format", "xml"][..], "the formats are parquet, arrow, csv and ndjson"),
        (&["--format", "csv", "--start", "today"], "start: "),
    ] {
        let (code, said) = export(program, &data, &folder.join("none"), arguments);
        assert!(code == Some(2) && said.contains(expected), "{code:?} {said}");
    }
    let (code, said) = export(program, &folder.join("nowhere"), &folder.join("none"), &["--format", "csv"]);
    assert!(code == Some(1) && said.starts_with("error: ") && said.contains("nowhere"), "{code:?} {said}");
    assert!(!folder.join("none").exists());
    fs::remove_dir_all(&folder).unwrap();
}
