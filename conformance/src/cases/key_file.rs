//! The file of API keys: how it is made and read, and that nothing shows a key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::keys::{ALL, File, NEXT, OLD, WEB, event};
use crate::case::{Case, cases};
use crate::client::{Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["key_file";
    "Keys, limits, browsers": [
        a_changed_file_is_read, a_signal_reads_the_file, a_wrong_file_keeps_the_keys, a_wrong_file_prevents_a_start,
        a_new_key_works, new_keys_are_checked, keys_are_not_logged,
    ],
];

/// Much shorter than the time between two looks of a server at the file.
const REWRITE_INTERVAL: Duration = Duration::from_millis(10);

/// Asks until the status is this one.
pub(super) fn wait_for_status(server: &Server, request: &Request, status: u16) -> Outcome {
    let deadline = Instant::now() + patience();
    loop {
        let found = server.send(request)?.status();
        if found == status {
            return Ok(());
        }
        check!(Instant::now() < deadline, "the status {status} in the end, not {found}");
    }
}

fn a_changed_file_is_read(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&ALL.entry("all", "scopes = [\"read\"]"))?;
    let server = file.start(ctx)?;
    ALL.get(&server, "/events")?.expect(200)?;
    NEXT.get(&server, "/events")?.expect(401)?;
    file.write(&NEXT.entry("next", "scopes = [\"read\"]"))?;
    wait_for_status(&server, &NEXT.on(Request::get("/events")), 200)?;
    ALL.get(&server, "/events")?.expect(401)
}

fn a_signal_reads_the_file(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&ALL.entry("all", "scopes = [\"read\"]"))?;
    let server = file.start(ctx)?;
    let next = NEXT.entry("next", "scopes = [\"read\"]");
    let stops = AtomicBool::new(false);
    thread::scope(|scope| {
        // A file that changes all the time is read because of the signal, or not at all.
        let write = || {
            (0..).take_while(|_| !stops.load(Ordering::Relaxed)).try_for_each(|n| {
                thread::sleep(REWRITE_INTERVAL);
                file.write(&format!("{next}# {n}\n"))
            })
        };
        file.write(&next)?;
        let writer = scope.spawn(write);
        let read = server
            .signal(Signal::HangUp)
            .and_then(|()| wait_for_status(&server, &NEXT.on(Request::get("/events")), 200));
        stops.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| Failure::unmet("no panic")).flatten().and(read)
    })?;
    // The signal does not stop the server, not even without a change.
    server.signal(Signal::HangUp)?;
    NEXT.get(&server, "/events")?.expect(200)
}

fn a_wrong_file_keeps_the_keys(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&ALL.entry("all", "scopes = [\"read\"]"))?;
    let server = file.start(ctx)?;
    for wrong in ["[[key]]\nname = ", "", "[[key]]\nname = \"a\"\n"] {
        file.write(wrong)?;
        wait_for_readiness(&server, "warn")?;
        ALL.get(&server, "/events")?.expect(200)?;
        file.write(&ALL.entry("all", "scopes = [\"read\"]"))?;
        wait_for_readiness(&server, "pass")?;
        ALL.get(&server, "/events")?.expect(200)?;
    }
    Ok(())
}

fn wait_for_readiness(server: &Server, status: &str) -> Outcome {
    let deadline = Instant::now() + patience();
    loop {
        let health = server.get("/health/ready")?;
        health.expect(200)?;
        if health.json()?["status"] == status {
            return Ok(());
        }
        check!(Instant::now() < deadline, "readiness {status} in the end, not {}", health.text()?);
    }
}

fn a_wrong_file_prevents_a_start(ctx: &Context<'_>) -> Outcome {
    let named = ALL.entry("a", "scopes = [\"read\"]");
    let secret = format!("[[key]]\nname = \"a\"\nsha256 = \"{}\"\nscopes = [\"read\"]\n", ALL.text);
    let twice = [named.as_str(), &WEB.entry("a", "scopes = [\"read\"]")].concat();
    for (text, expected) in [
        ("", "[[key]]"),
        ("nonsense", "line 1"),
        ("[[key]]\nname = \"a\"\nscopes = [\"read\"]\n", "sha256"),
        (&ALL.entry("a", "scopes = [\"admin\"]"), "line 4, key 'a', scopes"),
        (&ALL.entry("a", "scopes = [\"read\"]\ncolour = 1"), "line 5"),
        (&twice, "the same name"),
        (&secret, "SHA-256"),
    ] {
        let file = File::new(text)?;
        let path = file.path().display().to_string();
        let exit = ctx.run_to_exit(&["--repository", "memory:", "--endpoint", "127.0.0.1:0", "--keys", &path])?;
        check_eq!(exit.code, Some(2), "the exit code with {text:?}");
        check!(exit.stderr.contains(expected), "a message that names {expected:?}, not {:?}", exit.stderr);
        check!(exit.stderr.contains(&path), "a message that names the file, not {:?}", exit.stderr);
        check!(!exit.stderr.contains(ALL.text), "a message without the key, not {:?}", exit.stderr);
    }
    let exit = ctx.run_to_exit(&["--repository", "memory:", "--keys", "/no/such/file"])?;
    check_eq!(exit.code, Some(2), "the exit code without the file");
    check!(exit.stderr.contains("/no/such/file"), "a message that names the file, not {:?}", exit.stderr);
    Ok(())
}

fn keys_are_not_logged(ctx: &Context<'_>) -> Outcome {
    let file = File::usual()?;
    let mut server = file.start_with(ctx, &[("--log", "trace")])?;
    let post = |query: &str| Request::post(&format!("/events{query}"), "application/json", event("a").to_string());
    let encoded: String = ALL.text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut answers = String::new();
    for request in [
        ALL.on(post("")),
        ALL.on(Request::get("/events")),
        OLD.on(Request::get("/events")),
        WEB.on(Request::get("/metrics")),
        post(&format!("?key={}", ALL.text)),
        post(&format!("?k%65y={}", ALL.text)),
        post(&format!("?key={encoded}")),
        post(&format!("?KEY={}", ALL.text)),
        post(&format!("?key%3D{}", ALL.text)),
        post(&format!("?key={}%zz", ALL.text)),
        post(&format!("?key={}&key={}", ALL.text, WEB.text)),
        post(&format!("%3Fkey={}", ALL.text)),
        post(&format!("?type=a%26key={}", ALL.text)),
        post(&format!("?key=pa;{}", ALL.text)),
        post(&format!("?key=pa?{}", ALL.text)),
        Request::get(&format!("/events?key={}", ALL.text)),
        ALL.on(Request::get(&format!("/events/x?key%3D{}", ALL.text))),
        ALL.on(Request::get(&format!("/events?key={}", ALL.text))),
        ALL.on(Request::get(&format!("/events?key%3D{}", ALL.text))),
        ALL.on(Request::get(&format!("http://host/events?key={}", ALL.text))),
        ALL.on(Request::new("BREW", &format!("/nowhere?key={}", ALL.text))),
        // Not a request at all.
        ALL.on(Request::new("GET", &format!("/events?key={}\"", ALL.text))),
        ALL.on(Request::new("GET", &format!("/events?key={}", ALL.text)).header("host", "two")),
    ] {
        answers.push_str(&String::from_utf8_lossy(&server.send(&request)?.body));
    }
    answers.push_str(ALL.get(&server, "/metrics")?.text()?);
    let path = file.path();
    file.write(&format!("{}\n{}", ALL.text, ALL.entry("all", "scopes = [\"read\"]")))?;
    wait_for_readiness(&server, "warn")?;
    answers.push_str(server.get("/health/ready")?.text()?);
    check!(!answers.contains(&path.display().to_string()), "answers that do not name the file");
    server.signal(Signal::Terminate)?;
    let exit = server.wait()?;
    check!(exit.stderr.contains("/events"), "requests in the log, not {}", exit.stderr);
    for (what, text) in [("the log", &exit.stderr), ("standard output", &exit.stdout), ("the answers", &answers)] {
        for key in [&ALL, &WEB, &OLD] {
            // Its middle, so that a part of it is found as well.
            check!(!text.contains(&key.text[6..30]), "no key in {what}, not {text}");
        }
        check!(!text.contains(&encoded[18..90]), "no encoded key in {what}, not {text}");
    }
    Ok(())
}

fn a_new_key_works(ctx: &Context<'_>) -> Outcome {
    let new = |name: &str, more: &[&str]| {
        let exit = ctx.run_to_exit(&[&["key", "new", "--name", name], more].concat())?;
        check_eq!(exit.code, Some(0), "the exit code of `key new`");
        let key = exit.stderr.split_whitespace().find(|word| word.starts_with("argus_")).map(str::to_owned);
        let key = key.ok_or_else(|| Failure::unmet(format!("a key on standard error, not {:?}", exit.stderr)))?;
        check_eq!(key.len(), 49, "the characters of the key {key}");
        check!(!exit.stdout.contains("argus_"), "no key among the entries, not {}", exit.stdout);
        Ok::<_, Failure>((key, exit.stdout))
    };
    let (web, first) = new("web", &["--scope", "write", "--type", "web.*", "--expires", "2100-01-01T00:00:00Z"])?;
    let (reader, second) = new("reader", &["--scope", "read", "--scope", "metrics"])?;
    check!(web != reader, "keys that differ");
    let server = File::new(&[first, second].concat())?.start(ctx)?;
    let with = |key: &str, request: Request| {
        server.send(&request.header("authorization", &format!("Bearer {key}"))).map(|response| response.status())
    };
    let post = |name: &str| Request::post("/events", "application/json", event(name).to_string());
    check_eq!(with(&web, post("web.a"))?, 201, "the status of an event of the key's types");
    check_eq!(with(&web, post("app.a"))?, 422, "the status of another event");
    check_eq!(with(&web, Request::get("/events"))?, 403, "the status of a search with a key to write");
    check_eq!(with(&reader, Request::get("/events"))?, 200, "the status of a search");
    check_eq!(with(&reader, post("web.a"))?, 403, "the status of an event with a key to read");
    Ok(())
}

fn new_keys_are_checked(ctx: &Context<'_>) -> Outcome {
    for arguments in [
        &["key"][..],
        &["key", "new"],
        &["key", "new", "--name", "a"],
        &["key", "new", "--scope", "read"],
        &["key", "new", "--name", "a b", "--scope", "read"],
        &["key", "new", "--name", "a", "--scope", "admin"],
        &["key", "new", "--name", "a", "--scope", "read", "--type", "a*"],
        &["key", "new", "--name", "a", "--scope", "read", "--expires", "soon"],
    ] {
        let exit = ctx.run_to_exit(arguments)?;
        check_eq!(exit.code, Some(2), "the exit code of {arguments:?}");
        check!(exit.stdout.is_empty() && !exit.stderr.contains("argus_"), "no key of {arguments:?}");
    }
    Ok(())
}
