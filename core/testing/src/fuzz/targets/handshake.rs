//! The opening handshake of a `WebSocket` (RFC 6455, section 4.2).

use argus_core::api::{Caller, Handshake, Reply, RequestHead, Route};

use super::super::super::Random;
use super::super::Target;
use super::super::replies::checked;

pub(super) const TARGET: Target = Target {
    name: "handshake",
    about: "a valid handshake is accepted however it is written, and no other is",
    run: handshake,
    seeds,
    words: &[
        "upgrade: websocket",
        "connection: ",
        "keep-alive, Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: ",
        "dGhlIHNhbXBsZSBub25jZQ==",
        "content-length: 0",
        "transfer-encoding: chunked",
        "h2c, ",
        "\"websocket\"",
        "\n",
        ",",
        "==",
    ],
    smoke_runs: 2_000,
};

/// The fields that a handshake consists of, or that contradict one.
const NAMES: [&str; 6] =
    ["upgrade", "connection", "sec-websocket-version", "sec-websocket-key", "content-length", "transfer-encoding"];

/// A field as a host passes it on.
type Field<'a> = (&'a str, &'a [u8]);

/// The input is a line for each field. A leading `!` stands for HTTP/1.0, and `~` for another method.
///
/// # Panics
///
/// If the answer is wrong.
fn handshake(data: &[u8]) {
    let (rest, http_10) = data.strip_prefix(b"!").map_or((data, false), |rest| (rest, true));
    let (rest, is_get) = rest.strip_prefix(b"~").map_or((rest, true), |rest| (rest, false));
    let lines = rest.split(|byte| *byte == b'\n');
    let fields: Vec<(String, &[u8])> = lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            (String::from_utf8_lossy(name).to_ascii_lowercase(), value.get(1..).unwrap_or_default().trim_ascii())
        })
        .collect();
    let fields: Vec<Field<'_>> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let asked = RequestHead { method: if is_get { "GET" } else { "HEAD" }, http_10, ..head(&fields) };
    match Handshake::read(&asked, Route::Stream) {
        Ok(Some(handshake)) => {
            assert!(is_get && !http_10, "{fields:?}");
            let key = has_all(&fields);
            assert_eq!(accept(&handshake), accept(&valid(key)), "the answer depends on the key alone");
        }
        Ok(None) => assert!(!is_get || http_10 || !has(&fields, "upgrade", "websocket", true), "{fields:?}"),
        Err(draft) => {
            let reply = checked(&Caller::default(), draft);
            assert!(is_get && matches!(reply.status, 400 | 426), "{fields:?}: {reply:?}");
            assert_eq!(reply.header("upgrade").is_some(), reply.status == 426);
        }
    }
    // A valid one, with whatever else there is.
    let mut random = Random::bytes(data);
    let others = fields.into_iter().filter(|(name, _)| !NAMES.contains(name));
    let mut fields: Vec<Field<'_>> = others.chain(written(&mut random)).collect();
    let (from, to) = (random.index(fields.len()), random.index(fields.len()));
    fields.swap(from, to);
    let handshake = Handshake::read(&head(&fields), Route::Stream);
    assert!(matches!(handshake, Ok(Some(_))), "{fields:?}: {handshake:?}");
}

fn head<'a>(headers: &'a [Field<'a>]) -> RequestHead<'a> {
    RequestHead { method: "GET", target: "/events/stream", headers, ..RequestHead::default() }
}

/// Whether a field has this text, in any case; with `whole`, as its whole value.
fn has(fields: &[Field<'_>], name: &str, text: &str, whole: bool) -> bool {
    fields.iter().filter(|(other, _)| *other == name).any(|(_, value)| {
        let value = value.to_ascii_lowercase();
        if whole { value == text.as_bytes() } else { value.windows(text.len()).any(|part| part == text.as_bytes()) }
    })
}

/// Checks that there is everything that a handshake needs; returns its key.
fn has_all<'a>(fields: &[Field<'a>]) -> &'a [u8] {
    let all =
        |name| fields.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value).collect::<Vec<_>>();
    assert!(has(fields, "upgrade", "websocket", false) && has(fields, "connection", "upgrade", false), "{fields:?}");
    assert_eq!(all("sec-websocket-version"), [b"13"]);
    assert!(all("transfer-encoding").is_empty() && !has(fields, "content-length", "1", true), "a body: {fields:?}");
    let keys = all("sec-websocket-key");
    let [key] = keys.as_slice() else { panic!("{} keys", keys.len()) };
    assert!(key.len() == 24 && key.ends_with(b"=="), "16 bytes in base64 have 22 characters and two for padding");
    key
}

/// The handshake that has nothing but this key.
fn valid(key: &[u8]) -> Handshake {
    let fields: [Field<'_>; 4] = [
        ("upgrade", b"websocket"),
        ("connection", b"Upgrade"),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", key),
    ];
    Handshake::read(&head(&fields), Route::Stream).ok().flatten().expect("it is complete")
}

fn accept(handshake: &Handshake) -> String {
    let reply: Reply = checked(&Caller::default(), handshake.reply(Route::Stream));
    assert_eq!(reply.status, 101);
    reply.header("sec-websocket-accept").expect("101 has it").to_owned()
}

/// A valid handshake, as one of many clients writes it.
fn written(random: &mut Random<'_>) -> Vec<Field<'static>> {
    let upgrade: &[u8] =
        random.pick(&[&b"websocket"[..], b"WebSocket", b"h2c, websocket", b"websocket,h2c", b"WEBSOCKET"]);
    let connection: &[u8] =
        random.pick(&[&b"Upgrade"[..], b"upgrade", b"keep-alive, Upgrade", b"Upgrade,keep-alive", b", upgrade ,"]);
    let key: &[u8] =
        random.pick(&[&b"dGhlIHNhbXBsZSBub25jZQ=="[..], b"AAAAAAAAAAAAAAAAAAAAAA==", b"+/+/+/+/+/+/+/+/+/+/+w=="]);
    let mut fields = vec![
        ("upgrade", upgrade),
        ("connection", connection),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", key),
    ];
    if random.one_in(2) {
        fields.push(("content-length", b"0"));
    }
    if random.one_in(2) {
        fields.push(("connection", b"close"));
    }
    fields
}

fn seeds() -> Vec<Vec<u8>> {
    let valid = "upgrade: websocket\nconnection: Upgrade\nsec-websocket-version: 13\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let texts = [
        valid,
        &format!("!{valid}"),
        &format!("~{valid}"),
        &format!("{valid}\ncontent-length: 1"),
        &format!("{valid}\ntransfer-encoding: chunked"),
        &valid.replace("13", "8"),
        &valid.replace("==", "="),
        "upgrade: h2c, WebSocket\nconnection: keep-alive",
        "sec-websocket-key: x",
        "",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
