//! Live streams over WebSocket, with clients that we did not write.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::case::{Case, cases};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq, packages};

pub(super) const CASES: &[Case] = cases!["websocket_clients";
    "GET /events/stream": [python_websockets, node_ws],
];

/// Prints what it sees: the events to the last one, the answer to a message, to a ping and to a close frame, and how
/// the server closes. `argv[1]` is the URL of the stream.
const PYTHON_SCRIPT: &str = r#"
import asyncio, json, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

async def main(url):
    async with connect(url + "?after_seq=0") as socket:
        while True:
            event = json.loads(await socket.recv())
            print(event["seq"], event["payload"], flush=True)
            if event["event_type"] == "end":
                break
        await socket.send("hello")
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            print("refused", closed.rcvd.code, flush=True)
    async with connect(url) as socket:
        await (await socket.ping(b"data"))
        print("pong", flush=True)
        await socket.close(1000, "done")
        print("closed", socket.close_code, socket.close_reason, flush=True)
    async with connect(url) as socket:
        print("ready", flush=True)
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            print("drained", closed.rcvd.code, closed.rcvd.reason, flush=True)

asyncio.run(asyncio.wait_for(main(sys.argv[1]), 30))
"#;

/// The same for Node.
const NODE_SCRIPT: &str = r#"
const WebSocket = require("ws");
const url = process.argv[2];
setTimeout(() => { console.log("late"); process.exit(1); }, 30000).unref();

function events() {
  const socket = new WebSocket(url + "?after_seq=0");
  socket.on("message", (data, isBinary) => {
    const event = JSON.parse(data.toString());
    console.log(event.seq, isBinary ? "binary" : event.payload);
    if (event.event_type === "end") socket.send("hello");
  });
  socket.on("close", (code) => { console.log("refused", code); ping(); });
}

function ping() {
  const socket = new WebSocket(url);
  socket.on("open", () => socket.ping("data"));
  socket.on("pong", () => { console.log("pong"); socket.close(1000, "done"); });
  socket.on("close", (code, reason) => { console.log("closed", code, reason.toString()); drain(); });
}

function drain() {
  const socket = new WebSocket(url);
  socket.on("open", () => console.log("ready"));
  socket.on("close", (code, reason) => { console.log("drained", code, reason.toString()); process.exit(0); });
}

events();
"#;

/// The last event and others before it, in the way in which both scripts print them.
const EVENTS: u64 = 300;
const PAYLOAD: &str = "gr\u{fc}n \u{1f600}";

/// A running client, killed when dropped.
pub(super) struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    pub(super) fn start(program: &str, script: &Path, url: &str, path: (&str, &OsStr)) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.arg(script).arg(url).env(path.0, path.1).stdin(Stdio::null()).stdout(Stdio::piped());
        let started = command.spawn().map_err(|_| Failure::skipped(format!("needs {program}")));
        let mut child = started?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::unmet("standard output of the client"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// Requires the client to print this next. It gives up by itself after a while.
    pub(super) fn expect(&mut self, line: &str) -> Outcome {
        let printed = self.lines.next().and_then(Result::ok);
        check_eq!(printed.as_deref(), Some(line), "what the client prints");
        Ok(())
    }

    /// Requires the client to end without printing more and without an error.
    pub(super) fn expect_end(&mut self) -> Outcome {
        let printed = self.lines.next().and_then(Result::ok);
        check_eq!(printed, None, "the end of what the client prints");
        check!(self.child.wait().is_ok_and(|status| status.success()), "a client that ends without an error");
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script beside a server.
fn check_client(ctx: &Context<'_>, program: &str, (name, script): (&str, &str), path: (&str, &OsStr)) -> Outcome {
    let folder = TempDir::with_prefix("argus-client-").map_err(|error| Failure::unmet(format!("a folder: {error}")))?;
    let file = folder.path().join(name);
    std::fs::write(&file, script).map_err(|error| Failure::unmet(format!("a script: {error}")))?;
    let mut server = ctx.start(&[("--drain-timeout", "1h")])?;
    for number in 1..EVENTS / 2 {
        server.store(&json!({"event_type": "a", "timestamp": number, "payload": PAYLOAD}))?;
    }
    let mut client = Client::start(program, &file, &format!("ws://{}/events/stream", server.host()), path)?;
    for number in EVENTS / 2..EVENTS {
        server.store(&json!({"event_type": "a", "timestamp": number, "payload": PAYLOAD}))?;
    }
    server.store(&json!({"event_type": "end", "timestamp": 0, "payload": "end"}))?;
    for seq in 1..EVENTS {
        client.expect(&format!("{seq} {PAYLOAD}"))?;
    }
    client.expect(&format!("{EVENTS} end"))?;
    client.expect("refused 1003")?;
    client.expect("pong")?;
    client.expect("closed 1000 done")?;
    client.expect("ready")?;
    server.signal(Signal::Terminate)?;
    client.expect(&format!("drained 1001 after_seq={EVENTS}"))?;
    client.expect_end()?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn python_websockets(ctx: &Context<'_>) -> Outcome {
    let folder = packages::WEBSOCKETS.folder()?;
    check_client(ctx, "python3", ("client.py", PYTHON_SCRIPT), ("PYTHONPATH", folder.as_os_str()))
}

fn node_ws(ctx: &Context<'_>) -> Outcome {
    let folder = packages::WS.folder()?;
    check_client(ctx, "node", ("client.cjs", NODE_SCRIPT), ("NODE_PATH", folder.as_os_str()))
}
