//! A real browser on a page of another origin.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::chromium::{Browser, Page};
use crate::client::patience;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::relay::Relay;
use crate::{check, check_eq};

use super::keys::{self, ALL};

pub(super) const CASES: &[Case] = cases!["browser";
    "Keys, limits, browsers": [
        fetch_from_an_allowed_page, fetch_from_another_page, beacon_of_an_allowed_page, long_answers_are_decompressed,
        event_source_misses_nothing_over_restarts,
    ],
];

/// How often to look whether a beacon has arrived: nothing tells.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a script finds on a page of this origin. `ARGUS` in it stands for the address of the server.
fn found(page: Page, server: &Server, script: &str) -> Result<Value, Failure> {
    open(page, server, script)?.report()
}

fn open(page: Page, server: &Server, script: &str) -> Result<Browser, Failure> {
    page.open(&script.replace("ARGUS", &format!("'{server}'")))
}

fn for_page(ctx: &Context<'_>) -> Result<(Page, Server), Failure> {
    let page = Page::new()?;
    let server = ctx.start(&[("--cors-origin", &page.origin())])?;
    Ok((page, server))
}

fn fetch_from_an_allowed_page(ctx: &Context<'_>) -> Outcome {
    let (page, server) = for_page(ctx)?;
    let found = found(
        page,
        &server,
        "
        const headers = {'Authorization': 'Bearer argus_key', 'Content-Type': 'application/json',
                         'X-Request-Id': 'from-a-page', 'Prefer': 'handling=strict'};
        const post = (body) => fetch(ARGUS + '/events', {method: 'POST', headers, body: JSON.stringify(body)});
        const created = await post({id: 'a', event_type: 'web.click', timestamp: 1, payload: null});
        const invalid = await post({event_type: 'web.click'});
        const list = await fetch(ARGUS + '/events?limit=1', {headers: {'Authorization': 'Bearer argus_key'}});
        return {
            created: [created.status, created.headers.get('location'), created.headers.get('x-request-id'),
                      (await created.json()).id],
            invalid: [invalid.status, (await invalid.json()).errors[0].code],
            list: [list.status, list.headers.get('argus-last-seq'), (await list.json()).length],
            missing: [(await fetch(ARGUS + '/events/none')).status, (await fetch(ARGUS + '/nothing')).status],
        };
        ",
    )?;
    check_eq!(found["created"], json!([201, "/events/a", "from-a-page", "a"]), "what the page sees of a 201");
    check_eq!(found["invalid"], json!([422, "missing_field"]), "what the page sees of a 422");
    check_eq!(found["list"], json!([200, "1", 1]), "what the page sees of a list");
    check_eq!(found["missing"], json!([404, 404]), "what the page sees of a 404");
    Ok(())
}

fn fetch_from_another_page(ctx: &Context<'_>) -> Outcome {
    let page = Page::new()?;
    let server = ctx.start(&[("--cors-origin", "https://app.example")])?;
    let found = found(
        page,
        &server,
        "
        const event = JSON.stringify({event_type: 'evil', timestamp: 1, payload: null});
        const tried = async (options) => {
            try { return (await fetch(ARGUS + '/events', options)).status; } catch (error) { return error.name; }
        };
        const json = {'Content-Type': 'application/json'};
        const sent = navigator.sendBeacon(ARGUS + '/events', event);
        const answers = [await tried({}), await tried({method: 'POST', body: event}),
                         await tried({method: 'POST', headers: json, body: event})];
        return {sent, answers};
        ",
    )?;
    check_eq!(found["answers"], json!(["TypeError", "TypeError", "TypeError"]), "what a foreign page gets");
    server.expect_empty()
}

fn beacon_of_an_allowed_page(ctx: &Context<'_>) -> Outcome {
    let (page, server) = for_page(ctx)?;
    let browser = open(
        page,
        &server,
        "
        const event = (id) => ({id, event_type: 'web.leave', timestamp: 1, payload: null});
        const send = (content) => navigator.sendBeacon(ARGUS + '/events', content);
        return {sent: [
            send(JSON.stringify(event('text'))),
            send(JSON.stringify([event('first'), event('second')])),
            send(new Blob([JSON.stringify(event('blob'))], {type: 'text/plain'})),
        ]};
        ",
    )?;
    check_eq!(browser.report()?["sent"], json!([true, true, true]), "what the browser took");
    let deadline = Instant::now() + patience();
    loop {
        let events = server.find("")?;
        if events.len() == 4 {
            return Ok(());
        }
        check!(Instant::now() < deadline, "4 events by beacons, not {events:?}");
        thread::sleep(LOOK_INTERVAL);
    }
}

fn long_answers_are_decompressed(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 20_000;
    let (page, server) = for_page(ctx)?;
    let line = |number: usize| format!(r#"{{"event_type":"a","timestamp":{number},"payload":"some text"}}"#) + "\n";
    server.submit_lines((0..EVENTS).map(line).collect::<String>())?.expect(201)?;
    let found = found(
        page,
        &server,
        "
        const list = await fetch(ARGUS + '/events');
        const events = await list.json();
        return {coding: list.headers.get('content-encoding'), count: events.length, last: events.at(-1).seq};
        ",
    )?;
    check!(found["coding"].is_string(), "a content coding that the browser asks for, not {}", found["coding"]);
    check_eq!(found["count"], json!(EVENTS), "the events of a long answer");
    check_eq!(found["last"], json!(EVENTS), "the last event of a long answer");
    Ok(())
}

/// Follows the stream with a key, and tells of each mark that it sees, of each gap, and in the end of all events.
const FOLLOWER: &str = "
    const source = new EventSource(ARGUS + '/events/stream?after_seq=0&key=KEY');
    const seen = [];
    source.addEventListener('gap', (event) => report({gap: JSON.parse(event.data).first_seq}));
    return new Promise((resolve) => {
        source.onmessage = (message) => {
            const event = JSON.parse(message.data);
            seen.push(Number(message.lastEventId));
            if (event.event_type === 'mark') report({mark: event.seq});
            if (event.event_type === 'end') { source.close(); resolve({seen}); }
        };
    });
";

/// The server stops, then is killed, while a page follows it. Nothing in the page deals with that.
fn event_source_misses_nothing_over_restarts(ctx: &Context<'_>) -> Outcome {
    const EVENTS: u64 = 20;
    let page = Page::new()?;
    let origin = page.origin();
    let file = keys::File::usual()?;
    let path = file.path().display().to_string();
    let settings = [("--keys", path.as_str()), ("--cors-origin", origin.as_str())];
    let mut server = ctx.start(&settings)?;
    let repository = server.repository();
    // The repository goes with the first of them.
    let mut ended = Vec::new();
    let relay = Relay::to(server.address())?;
    let script = FOLLOWER.replace("ARGUS", &format!("'http://{}'", relay.address())).replace("KEY", ALL.text);
    let browser = page.open(&script)?;
    let mut expected = Vec::new();
    let store = |server: &Server, event_type: &str, expected: &mut Vec<u64>| -> Result<u64, Failure> {
        let response = ALL.post(server, &keys::event(event_type))?;
        response.expect(201)?;
        let seq = response.acknowledgement()?["seq"].as_u64().ok_or_else(|| Failure::unmet("a sequence number"))?;
        expected.push(seq);
        Ok(seq)
    };
    for signal in [Signal::Terminate, Signal::Kill] {
        for _ in 0..EVENTS {
            store(&server, "a", &mut expected)?;
        }
        let mark = store(&server, "mark", &mut expected)?;
        check_eq!(browser.report()?, json!({"mark": mark}), "what the page tells while it follows");
        if repository.is_some() {
            // The page may or may not have them before the server ends.
            for _ in 0..EVENTS {
                store(&server, "a", &mut expected)?;
            }
        }
        server.signal(signal)?;
        server.wait()?;
        let next = ctx.start_again(repository.as_deref(), &settings)?;
        relay.turn_to(next.address());
        if repository.is_none() {
            // Its sequence numbers begin anew. The page learns it before it can take a new event for an old one.
            check_eq!(browser.report()?, json!({"gap": 1}), "what the page is told by a server that has no events");
        }
        ended.push(std::mem::replace(&mut server, next));
    }
    store(&server, "end", &mut expected)?;
    check_eq!(browser.report()?, json!({"seen": expected}), "the events that the page has seen");
    Ok(())
}
