//! Where a request ends: attempts to hide a second request in the first (request smuggling), and incomplete requests.

use serde_json::json;

use crate::case::{Case, cases};
use crate::check;
use crate::check_eq;
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::Outcome;

pub(super) const CASES: &[Case] = cases!["wire_framing";
    "Order of checks": [
        length_and_chunked, chunked_and_length, other_transfer_codings, chunked_with_other_codings, two_lengths,
        equal_lengths_are_one, invalid_lengths, huge_lengths, folded_header_field, space_before_the_colon,
        bare_carriage_return, nul_in_a_header_field, nul_in_the_target, bare_line_feeds_hide_no_request,
        body_of_get_is_not_a_request, post_without_length,
    ],
    "POST /events": [
        chunked_body, chunk_extensions_and_trailers, chunked_in_single_bytes, chunk_size_overflows,
        invalid_chunk_sizes, chunk_without_line_end, body_cut_short, lines_cut_short_between_events, chunks_cut_short,
        reset_within_the_body, bytes_after_the_body, bytes_after_a_refused_request,
    ],
];

const EVENT: &str = r#"{"event_type":"wire","timestamp":0,"payload":1}"#;

/// The head of a submission with these further header fields.
fn head(fields: &str) -> String {
    format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{fields}\r\n\r\n")
}

/// A submission that must not be executed, hidden in or after another request.
fn hidden() -> String {
    format!("{}{EVENT}", head(&format!("content-length: {}", EVENT.len())))
}

/// Requires that the server answers the bytes once with one of these statuses, closes the connection, and stores
/// nothing.
fn expect_refused(server: &Server, bytes: &[u8], statuses: &[u16]) -> Outcome {
    let mut connection = server.connect()?;
    connection.write(bytes)?;
    let response = connection.response_to("POST")?;
    check!(statuses.contains(&response.status()), "one of the statuses {statuses:?}, not {}", response.status());
    connection.expect_close()?;
    server.expect_empty()
}

/// Requires that nothing is stored of a body that the client ends early. The answer is 400, or none.
fn expect_cut(server: &Server, bytes: &[u8]) -> Outcome {
    let mut connection = server.connect()?;
    connection.write(bytes)?;
    connection.finish_sending();
    let rest = connection.read_to_end()?;
    let answer = String::from_utf8_lossy(&rest).into_owned();
    check!(rest.is_empty() || answer.starts_with("HTTP/1.1 400 "), "400 or nothing for half a request, not {answer:?}");
    server.expect_empty()
}

fn length_and_chunked(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let bytes = format!("{}0\r\n\r\n{}", head("content-length: 5\r\ntransfer-encoding: chunked"), hidden());
    expect_refused(&server, bytes.as_bytes(), &[400])
}

fn chunked_and_length(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let bytes = format!("{}0\r\n\r\n{}", head("transfer-encoding: chunked\r\ncontent-length: 5"), hidden());
    expect_refused(&server, bytes.as_bytes(), &[400])
}

fn other_transfer_codings(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for coding in
        ["xchunked", "chunked-", "identity", "gzip", "x", "\"chunked\"", "chunked;q=1", "chunked x", "\u{b}chunked", ""]
    {
        let bytes = format!(
            "{}{:x}\r\n{EVENT}\r\n0\r\n\r\n{}",
            head(&format!("transfer-encoding: {coding}")),
            EVENT.len(),
            hidden()
        );
        expect_refused(&server, bytes.as_bytes(), &[400, 501]).map_err(|failure| failure.within(&coding))?;
    }
    Ok(())
}

fn chunked_with_other_codings(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for fields in [
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked,",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: x",
    ] {
        let bytes = format!("{}{:x}\r\n{EVENT}\r\n0\r\n\r\n{}", head(fields), EVENT.len(), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400, 501]).map_err(|failure| failure.within(&fields))?;
    }
    Ok(())
}

fn two_lengths(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let fields = format!("content-length: {}\r\ncontent-length: 0", EVENT.len());
    expect_refused(&server, format!("{}{EVENT}{}", head(&fields), hidden()).as_bytes(), &[400])?;
    let fields = format!("content-length: 0\r\ncontent-length: {}", EVENT.len());
    expect_refused(&server, format!("{}{EVENT}{}", head(&fields), hidden()).as_bytes(), &[400])
}

fn invalid_lengths(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let length = EVENT.len();
    for value in [
        format!("+{length}"),
        format!("-{length}"),
        format!("{length} {length}"),
        format!("{length}, 0"),
        format!("{length}.0"),
        format!("0x{length:x}"),
        format!("{length}a"),
        format!("{length}, {length}"),
        format!("{length},"),
        String::new(),
    ] {
        let bytes = format!("{}{EVENT}{}", head(&format!("content-length: {value}")), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&value))?;
    }
    Ok(())
}

fn equal_lengths_are_one(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    let fields = format!("content-length: {0}\r\ncontent-length: {0}", EVENT.len());
    connection.write(format!("{}{EVENT}", head(&fields)).as_bytes())?;
    connection.response_to("POST")?.expect(201)
}

fn huge_lengths(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for length in [
        "67108865",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551613",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "00000000000000000000067108865",
        &"9".repeat(1000),
    ] {
        let bytes = format!("{}{EVENT}{}", head(&format!("content-length: {length}")), hidden());
        expect_refused(&server, bytes.as_bytes(), &[413]).map_err(|failure| failure.within(&length))?;
        let bytes = format!("GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{}", hidden());
        expect_refused(&server, bytes.as_bytes(), &[200, 413]).map_err(|failure| failure.within(&length))?;
    }
    Ok(())
}

fn folded_header_field(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for fields in [
        format!("content-length:\r\n {}", EVENT.len()),
        format!("x-folded: a\r\n b\r\ncontent-length: {}", EVENT.len()),
        "transfer-encoding:\r\n\tchunked".to_owned(),
    ] {
        let bytes = format!("{}{EVENT}{}", head(&fields), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&fields))?;
    }
    Ok(())
}

fn space_before_the_colon(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for fields in
        [format!("content-length : {}", EVENT.len()), "transfer-encoding : chunked".to_owned(), " x: y".to_owned()]
    {
        let bytes = format!("{}{EVENT}{}", head(&fields), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&fields))?;
    }
    Ok(())
}

fn bare_carriage_return(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let fields = format!("x: a\rcontent-length: 0\r\ncontent-length: {}", EVENT.len());
    expect_refused(&server, format!("{}{EVENT}{}", head(&fields), hidden()).as_bytes(), &[400])
}

fn nul_in_a_header_field(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for fields in ["x: a\0b", "x\0: b", "x: \0"] {
        let bytes = format!("{}{}", head(fields), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&fields.escape_debug()))?;
    }
    Ok(())
}

fn nul_in_the_target(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for target in ["/\0", "/events\0", "/events?type=\0", "/\x01", "/\x7f"] {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&target.escape_debug()))?;
    }
    Ok(())
}

fn bare_line_feeds_hide_no_request(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    // A recipient may accept a single line feed as the end of a line (RFC 9112, section 2.2). Either way, these bytes
    // are one request, and the submission is its body.
    let hidden = hidden();
    let bytes = format!("POST /nowhere HTTP/1.1\nhost: x\ncontent-length: {}\n\n{hidden}", hidden.len());
    let mut connection = server.connect()?;
    connection.write(bytes.as_bytes())?;
    connection.finish_sending();
    let status = connection.response_to("POST")?.status();
    check!(matches!(status, 400 | 404), "404 for the target or 400 for the line ends, not {status}");
    connection.expect_close()?;
    server.expect_empty()
}

fn body_of_get_is_not_a_request(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let hidden = hidden();
    for method in ["GET", "HEAD", "DELETE"] {
        for fields in [format!("content-length: {}", hidden.len()), "transfer-encoding: chunked".to_owned()] {
            let body = if fields.starts_with('t') {
                format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())
            } else {
                hidden.clone()
            };
            let mut connection = server.connect()?;
            connection.write(format!("{method} /health HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n{body}").as_bytes())?;
            connection.finish_sending();
            connection.response_to(method)?;
            connection.expect_close().map_err(|failure| failure.within(&format!("{method} with {fields}")))?;
            server.expect_empty()?;
        }
    }
    Ok(())
}

fn post_without_length(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    // Without a length there is no body (RFC 9112, section 6.3).
    connection.write(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\r\n")?;
    let status = connection.response_to("POST")?.status();
    check!(matches!(status, 400 | 411), "a refusal of a submission without body, not {status}");
    server.expect_empty()
}

fn chunked_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let (start, end) = EVENT.split_at(11);
    let mut connection = server.connect()?;
    connection.write(
        format!("{}b\r\n{start}\r\n{:X}\r\n{end}\r\n0\r\n\r\n", head("transfer-encoding: chunked"), end.len())
            .as_bytes(),
    )?;
    connection.response_to("POST")?.expect(201)?;
    // The connection is ready for the next request.
    check_eq!(connection.request(&Request::get("/events"))?.events()?.len(), 1, "events stored");
    Ok(())
}

fn chunk_extensions_and_trailers(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    let body = format!(
        "{:04x};name=value;other=\"quoted\"\r\n{EVENT}\r\n0\r\nx-trailer: 1\r\ncontent-length: 500\r\n\r\n",
        EVENT.len()
    );
    connection.write(format!("{}{body}", head("transfer-encoding: chunked")).as_bytes())?;
    connection.response_to("POST")?.expect(201)?;
    check_eq!(connection.request(&Request::get("/events"))?.events()?.len(), 1, "events stored");
    Ok(())
}

fn chunked_in_single_bytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    let body: String = EVENT.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    for byte in format!("{}{body}0\r\n\r\n", head("transfer-encoding: chunked")).bytes() {
        check!(!connection.write_is_refused(&[byte])?, "a subject that reads the request byte by byte");
    }
    connection.response_to("POST")?.expect(201)
}

fn chunk_size_overflows(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let length = EVENT.len();
    for size in ["fffffffffffffffff", "10000000000000000", &format!("1000000000000000{length:02x}"), &"f".repeat(200)] {
        let bytes = format!("{}{size}\r\n{EVENT}\r\n0\r\n\r\n{}", head("transfer-encoding: chunked"), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400, 413]).map_err(|failure| failure.within(&size))?;
    }
    Ok(())
}

fn invalid_chunk_sizes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let length = EVENT.len();
    for size in [
        format!("-{length:x}"),
        format!("+{length:x}"),
        format!("0x{length:x}"),
        format!("{length:x}g"),
        String::new(),
        " ".to_owned(),
        format!("{length:x}\n"),
        format!("\r\n{length:x}"),
    ] {
        let bytes = format!("{}{size}\r\n{EVENT}\r\n0\r\n\r\n{}", head("transfer-encoding: chunked"), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&size.escape_debug()))?;
    }
    Ok(())
}

fn chunk_without_line_end(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for end in ["", "\n", "xx", "\r\r"] {
        let bytes =
            format!("{}{:x}\r\n{EVENT}{end}0\r\n\r\n{}", head("transfer-encoding: chunked"), EVENT.len(), hidden());
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&end.escape_debug()))?;
    }
    Ok(())
}

fn body_cut_short(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    // The bytes sent are a whole event, but the declared length is one byte more.
    let bytes = format!("{}{EVENT}", head(&format!("content-length: {}", EVENT.len() + 1)));
    expect_cut(&server, bytes.as_bytes())?;
    expect_cut(&server, &bytes.as_bytes()[..bytes.len() - 20])
}

fn lines_cut_short_between_events(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for encoding in ["x", "gzip"] {
        let fields = if encoding == "gzip" { "content-encoding: gzip\r\n" } else { "" };
        let lines = format!("{EVENT}\n{EVENT}\n{EVENT}\n");
        let mut body = lines.into_bytes();
        if encoding == "gzip" {
            body = crate::compress::gzip(&body);
        }
        let mut bytes = format!(
            "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n{fields}\
             prefer: handling=lenient\r\ncontent-length: {}\r\n\r\n",
            body.len() + EVENT.len() + 1
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        expect_cut(&server, &bytes).map_err(|failure| failure.within(&encoding))?;
    }
    Ok(())
}

fn chunks_cut_short(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let whole = format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", EVENT.len());
    let head = head("transfer-encoding: chunked");
    // The body ends with the empty line after the last chunk.
    for missing in 1..=9 {
        let bytes = format!("{head}{}", &whole[..whole.len() - missing]);
        expect_cut(&server, bytes.as_bytes()).map_err(|failure| failure.within(&format!("{missing} bytes missing")))?;
    }
    Ok(())
}

fn reset_within_the_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for _ in 0..20 {
        let mut connection = server.connect()?;
        connection.write(format!("{}{EVENT}", head("content-length: 1000")).as_bytes())?;
    }
    server.expect_empty()?;
    server.expect_alive()
}

fn bytes_after_the_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    connection.write(format!("{}{EVENT}{{}}\r\n\r\n", head(&format!("content-length: {}", EVENT.len()))).as_bytes())?;
    let response = connection.response_to("POST")?;
    response.expect(201)?;
    check_eq!(response.member("duplicate")?, json!(false), "the acknowledgement");
    // The bytes after the body are no request.
    let second = connection.response_to("GET")?;
    second.expect(400)?;
    connection.expect_close()?;
    check_eq!(server.find("")?.len(), 1, "events stored");
    Ok(())
}

fn bytes_after_a_refused_request(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for after in ["{}", "{}\r\n\r\n", "GET /health\r\n\r\n"] {
        let mut connection = server.connect()?;
        connection.write(format!("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n{after}").as_bytes())?;
        connection.finish_sending();
        connection.response_to("GET")?.expect(404)?;
        let rest = connection.read_to_end()?;
        let answer = String::from_utf8_lossy(&rest).into_owned();
        let bad_request = answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/1.1 4").count() == 1;
        check!(rest.is_empty() || bad_request, "400 or nothing for {after:?}, not {answer:?}");
    }
    server.expect_empty()
}
