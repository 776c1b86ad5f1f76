//! `GET /events/stream`: a client that we did not write.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use super::websocket_clients::Client;
use crate::case::{Case, cases};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::packages;

pub(super) const CASES: &[Case] = cases!["stream_clients";
    "GET /events/stream": [eventsource_reconnects_and_misses_nothing],
];

/// Prints the last event id of each event, and ends after the last one.
const SCRIPT: &str = r#"
const { EventSource } = require("eventsource");
const source = new EventSource(process.argv[2]);
source.onmessage = (event) => {
  console.log(event.lastEventId);
  if (JSON.parse(event.data).event_type === "end") {
    source.close();
    process.exit(0);
  }
};
source.addEventListener("gap", () => { console.log("gap"); });
setTimeout(() => { console.log("late"); process.exit(1); }, 30000).unref();
"#;

/// Passes connections on, and cuts each one after some bytes, except the last.
fn cut(listener: &TcpListener, upstream: SocketAddr, cuts: usize) -> std::io::Result<()> {
    for connection in 0..=cuts {
        let (mut client, _) = listener.accept()?;
        let server = TcpStream::connect(upstream)?;
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let forward = thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        let mut from_server = server.try_clone()?;
        let mut left = if connection == cuts { usize::MAX } else { 700 + connection * 321 };
        let mut buffer = [0; 256];
        while left > 0 {
            let count = from_server.read(&mut buffer)?.min(left);
            if count == 0 {
                break;
            }
            // The client may have left.
            if client.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                break;
            }
            left -= count;
        }
        // Both fail only if the other side has closed.
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        drop(forward.join());
    }
    Ok(())
}

fn eventsource_reconnects_and_misses_nothing(ctx: &Context<'_>) -> Outcome {
    const CUTS: usize = 4;
    const EVENTS: u64 = 60;
    let packages = packages::EVENTSOURCE.folder()?;
    let folder = TempDir::with_prefix("argus-client-").map_err(|error| Failure::unmet(format!("a folder: {error}")))?;
    let script = folder.path().join("client.cjs");
    std::fs::write(&script, SCRIPT).map_err(|error| Failure::unmet(format!("a script: {error}")))?;
    let server = ctx.empty()?;
    let unmet = |error: std::io::Error| Failure::unmet(format!("a proxy: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unmet)?;
    let url = format!("http://{}/events/stream?after_seq=0", listener.local_addr().map_err(unmet)?);
    let upstream: SocketAddr = server.host().parse().map_err(|_| Failure::unmet("an address"))?;
    thread::spawn(move || cut(&listener, upstream, CUTS));
    let mut client = Client::start("node", &script, &url, ("NODE_PATH", packages.as_os_str()))?;
    for n in 1..EVENTS {
        server.store(&json!({"event_type": "a", "timestamp": n, "payload": "x".repeat(40)}))?;
    }
    server.store(&json!({"event_type": "end", "timestamp": 0, "payload": null}))?;
    for seq in 1..=EVENTS {
        client.expect(&seq.to_string())?;
    }
    client.expect_end()
}
