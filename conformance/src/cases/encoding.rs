//! `Content-Encoding`: compressed bodies.

use serde_json::json;

use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::Request;
use crate::compress;
use crate::context::{Context, Server};
use crate::failure::Outcome;

pub(super) const CASES: &[Case] = cases!["encoding";
    "POST /events": [
        gzip_body, zstd_body, coding_in_capitals, gzip_of_many_members, identity_body, no_coding, empty_elements,
        unknown_coding, two_codings, gzip_cut_short, zstd_cut_short, damaged_gzip, gzip_with_trailing_bytes, not_gzip,
        not_zstd, empty_compressed_body, coding_that_is_not_declared, byte_order_mark_after_decompression,
        gzip_of_many_events,
    ],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":0,"payload":"compressed"}"#;

fn post(coding: &str, body: Vec<u8>) -> Request {
    Request::post("/events", "application/json", body).header("content-encoding", coding)
}

fn expect_stored(server: &Server) -> Outcome {
    check_eq!(server.payloads("")?, [json!("compressed")], "what is stored");
    Ok(())
}

fn gzip_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("gzip", compress::gzip(EVENT.as_bytes())))?.expect(201)?;
    expect_stored(&server)
}

fn zstd_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("zstd", compress::zstd(EVENT.as_bytes())))?.expect(201)?;
    expect_stored(&server)
}

fn coding_in_capitals(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("GZIP", compress::gzip(EVENT.as_bytes())))?.expect(201)?;
    expect_stored(&server)
}

fn gzip_of_many_members(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let (start, end) = EVENT.split_at(20);
    let body = [compress::gzip(start.as_bytes()), compress::gzip(b""), compress::gzip(end.as_bytes())].concat();
    server.send(&post("gzip", body))?.expect(201)?;
    expect_stored(&server)
}

fn identity_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("identity", EVENT.into()))?.expect(201)?;
    expect_stored(&server)
}

fn no_coding(ctx: &Context<'_>) -> Outcome {
    for value in ["", ",", "identity, identity"] {
        let server = ctx.empty()?;
        server.send(&post(value, EVENT.into()))?.expect(201).map_err(|failure| failure.within(&value))?;
        expect_stored(&server)?;
    }
    Ok(())
}

fn empty_elements(ctx: &Context<'_>) -> Outcome {
    for value in ["gzip,", ", gzip", "identity, , gzip"] {
        let server = ctx.empty()?;
        let response = server.send(&post(value, compress::gzip(EVENT.as_bytes())))?;
        response.expect(201).map_err(|failure| failure.within(&value))?;
        expect_stored(&server)?;
    }
    Ok(())
}

fn unknown_coding(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for coding in ["br", "deflate", "compress", "gzipped", "none", "gzip;q=1"] {
        let response = server.send(&post(coding, EVENT.into()))?;
        response.problem_naming(415, "Content-Encoding must be").map_err(|failure| failure.within(&coding))?;
    }
    server.expect_empty()
}

fn two_codings(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let twice = compress::gzip(&compress::gzip(EVENT.as_bytes()));
    server.send(&post("gzip, gzip", twice.clone()))?.problem(415)?;
    server.send(&post("gzip", twice).header("content-encoding", "gzip"))?.problem(415)?;
    server.expect_empty()
}

fn gzip_cut_short(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let whole = compress::gzip(EVENT.as_bytes());
    for length in 0..whole.len() {
        let response = server.send(&post("gzip", whole.get(..length).unwrap_or_default().to_vec()))?;
        response.problem(400).map_err(|failure| failure.within(&format!("the first {length} bytes")))?;
    }
    server.expect_empty()
}

fn zstd_cut_short(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let whole = compress::zstd(EVENT.as_bytes());
    for length in 0..whole.len() {
        let response = server.send(&post("zstd", whole.get(..length).unwrap_or_default().to_vec()))?;
        response.problem(400).map_err(|failure| failure.within(&format!("the first {length} bytes")))?;
    }
    server.expect_empty()
}

fn damaged_gzip(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let whole = compress::gzip(EVENT.as_bytes());
    // Every byte of the trailer counts: four of the checksum and four of the length.
    for from_end in 1..=8 {
        let mut damaged = whole.clone();
        if let Some(byte) = damaged.iter_mut().rev().nth(from_end - 1) {
            *byte ^= 0x10;
        }
        let response = server.send(&post("gzip", damaged))?;
        response.problem(400).map_err(|failure| failure.within(&format!("byte {from_end} from the end")))?;
    }
    server.expect_empty()
}

fn gzip_with_trailing_bytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut body = compress::gzip(EVENT.as_bytes());
    body.extend_from_slice(b"trailing");
    server.send(&post("gzip", body))?.problem(400)?;
    server.expect_empty()
}

fn not_gzip(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("gzip", EVENT.into()))?.problem(400)?;
    server.expect_empty()
}

fn not_zstd(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("zstd", EVENT.into()))?.problem(400)?;
    server.expect_empty()
}

fn empty_compressed_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&post("gzip", compress::gzip(b"")))?.problem(400)?;
    server.send(&post("zstd", compress::zstd(b"")))?.problem(400)?;
    server.expect_empty()
}

fn coding_that_is_not_declared(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (coding, body) in [("gzip", compress::gzip(EVENT.as_bytes())), ("zstd", compress::zstd(EVENT.as_bytes()))] {
        for (media_type, handling) in
            [("application/json", "strict"), ("application/x-ndjson", "strict"), ("application/x-ndjson", "lenient")]
        {
            let request = Request::post("/events", media_type, body.clone());
            let response = server.send(&request.header("prefer", &format!("handling={handling}")))?;
            response
                .problem_naming(400, &format!("the body is {coding}: send content-encoding: {coding}"))
                .map_err(|failure| failure.within(&format!("{media_type}, {handling}")))?;
            check_eq!(response.member("errors")?[0]["pointer"], json!("#"), "the pointer of the fault");
        }
    }
    server.expect_empty()
}

fn byte_order_mark_after_decompression(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("\u{feff}{EVENT}");
    server.send(&post("gzip", compress::gzip(body.as_bytes())))?.expect(201)?;
    expect_stored(&server)?;
    server.send(&post("zstd", compress::zstd("\u{feff}?".as_bytes())))?.problem_naming(400, "byte 3")
}

fn gzip_of_many_events(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 20_000;
    let server = ctx.empty()?;
    for (coding, encode) in [("gzip", compress::gzip as fn(&[u8]) -> Vec<u8>), ("zstd", compress::zstd)] {
        let body = encode(format!("{EVENT}\n").repeat(EVENTS).as_bytes());
        let request = Request::post("/events", "application/x-ndjson", body).header("content-encoding", coding);
        let response = server.send(&request)?;
        response.expect(201).map_err(|failure| failure.within(&coding))?;
        check_eq!(response.member("accepted")?, json!(EVENTS), "events accepted");
    }
    check_eq!(server.find("")?.len(), 2 * EVENTS, "events stored");
    Ok(())
}
