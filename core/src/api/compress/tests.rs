//! Tests of negotiation and of the encoders.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::super::content::Coding;
use super::*;
use crate::api::{RequestHead, Route};
use crate::room::Room;

fn negotiated(fields: &[&str]) -> (Option<&'static str>, bool) {
    let headers: Vec<_> = fields.iter().map(|value| ("accept-encoding", value.as_bytes())).collect();
    let Negotiated { coding, short_too } = Negotiated::of(&RequestHead { headers: &headers, ..RequestHead::default() });
    (coding.map(AnswerCoding::as_str), short_too)
}

#[test]
fn the_highest_weight_decides() {
    for (field, coding) in [
        ("", None),
        ("gzip", Some("gzip")),
        ("X-GZip", Some("gzip")),
        ("gzip, deflate, br", Some("gzip")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("zstd;q=0.5, gzip;q=0.6", Some("gzip")),
        ("zstd;q=0, *", Some("gzip")),
        ("*", Some("zstd")),
        ("*;q=0", None),
        ("br", None),
        ("identity", None),
        ("identity, gzip", Some("gzip")),
        ("identity, gzip;q=0.9", None),
        ("identity;q=0.5, gzip;q=0.4, zstd;q=0.5", Some("zstd")),
        ("gzip;q=0", None),
        ("gzip;q=0.001", Some("gzip")),
        ("gzip;q=2", None),
        ("gzip ; Q=1.000", Some("gzip")),
        ("gzip;level=9", Some("gzip")),
    ] {
        assert_eq!(negotiated(&[field]), (coding, false), "{field}");
    }
    assert_eq!(negotiated(&[]), (None, false));
    assert_eq!(negotiated(&["br", "gzip;q=0.1"]), (Some("gzip"), false));
}

#[test]
fn a_client_that_refuses_plain_answers_gets_short_ones_coded() {
    for (field, negotiation) in [
        ("gzip, identity;q=0", (Some("gzip"), true)),
        ("gzip, *;q=0", (Some("gzip"), true)),
        ("gzip, identity, *;q=0", (Some("gzip"), false)),
        ("identity;q=0", (None, false)),
        ("br, identity;q=0", (None, false)),
    ] {
        assert_eq!(negotiated(&[field]), negotiation, "{field}");
    }
}

#[test]
fn short_bodies_stay_as_they_are() {
    let negotiated = |short_too| Negotiated { coding: Some(AnswerCoding::Gzip), short_too };
    let coded = |negotiated: Negotiated, bytes| {
        let reply = negotiated.code(Reply::new(Route::Other, 200, "text/plain", vec![b'a'; bytes]));
        (reply.header("content-encoding").is_some(), reply.body.len())
    };
    assert_eq!(coded(negotiated(false), 1023), (false, 1023));
    assert!(coded(negotiated(false), 1024).0);
    assert!(coded(negotiated(true), 1).0);
    assert_eq!(coded(negotiated(true), 0), (false, 0));
    let once = negotiated(false).code(Reply::new(Route::Other, 200, "text/plain", vec![b'a'; 2000]));
    assert_eq!(negotiated(false).code(once.clone()), once, "a body is coded once");
}

/// By the decoder of request bodies, which is another library than the encoder of zstd.
fn decoded(coding: AnswerCoding, body: &[u8]) -> Vec<u8> {
    let decoder = match coding {
        AnswerCoding::Gzip => Coding::Gzip,
        AnswerCoding::Zstd => Coding::Zstd,
    };
    decoder.decode(body, usize::MAX, &mut Room::unlimited()).unwrap().into_owned()
}

/// What a client can read of an incomplete gzip body.
fn inflated_so_far(body: &[u8]) -> Vec<u8> {
    let mut inflater = miniz_oxide::inflate::stream::InflateState::new_boxed(miniz_oxide::DataFormat::Raw);
    let mut out = vec![0; 1 << 20];
    let result =
        miniz_oxide::inflate::stream::inflate(&mut inflater, &body[10..], &mut out, miniz_oxide::MZFlush::None);
    out.truncate(result.bytes_written);
    out
}

fn lines(from: usize, count: usize) -> String {
    (from..from + count).map(|number| format!("{{\"id\":\"e{number}\",\"payload\":{{\"n\":{number}}}}}\n")).collect()
}

#[test]
fn each_piece_can_be_read_at_once() {
    let mut encoder = Encoder::new(AnswerCoding::Gzip);
    let (mut coded, mut plain) = (Vec::new(), Vec::new());
    for at in 0..5 {
        let piece = lines(at * 500, 500);
        plain.extend_from_slice(piece.as_bytes());
        coded.extend_from_slice(&encoder.encode(piece.as_bytes()));
        assert!(inflated_so_far(&coded) == plain, "piece {at}");
    }
}

/// What a client can read of an incomplete zstd body. The end of its last frame is missing.
fn zstd_so_far(body: &[u8]) -> Vec<u8> {
    decoded(AnswerCoding::Zstd, &[body, &[1, 0, 0]].concat())
}

#[test]
fn each_frame_of_zstd_is_whole_but_for_its_end() {
    let mut encoder = Encoder::new(AnswerCoding::Zstd);
    let (mut coded, mut plain) = (Vec::new(), Vec::new());
    for at in 0..5 {
        let piece = lines(at * 500, 500);
        plain.extend_from_slice(piece.as_bytes());
        coded.extend_from_slice(&encoder.encode(piece.as_bytes()));
        assert!(zstd_so_far(&coded) == plain, "piece {at}");
    }
    coded.extend_from_slice(&encoder.encode_last(b""));
    assert!(decoded(AnswerCoding::Zstd, &coded) == plain);
}

proptest! {
    #[test]
    fn any_pieces_come_back(
        zstd: bool,
        pieces in many((0_usize..3, 0_usize..4000, any::<u8>()), 0..12),
    ) {
        let coding = if zstd { AnswerCoding::Zstd } else { AnswerCoding::Gzip };
        let mut encoder = Encoder::new(coding);
        let (mut coded, mut plain) = (Vec::new(), Vec::new());
        for (kind, count, byte) in pieces {
            let piece = match kind {
                0 => lines(count, count / 4).into_bytes(),
                1 => vec![byte; count * 50],
                // Hardly compressible.
                _ => (0..count as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect(),
            };
            coded.extend_from_slice(&encoder.encode(&piece));
            plain.extend_from_slice(&piece);
        }
        coded.extend_from_slice(&encoder.encode_last(b""));
        prop_assert!(decoded(coding, &coded) == plain);
    }

    #[test]
    fn a_whole_body_comes_back(zstd: bool, from: usize, count in 0_usize..3000) {
        let coding = if zstd { AnswerCoding::Zstd } else { AnswerCoding::Gzip };
        let plain = lines(from % 1_000_000, count);
        let coded = Encoder::new(coding).encode_last(plain.as_bytes());
        prop_assert!(decoded(coding, &coded) == plain.as_bytes());
        prop_assert!(plain.len() < 10_000 || coded.len() * 3 < plain.len());
    }
}
