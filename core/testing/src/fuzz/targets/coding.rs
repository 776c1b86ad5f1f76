//! Compressed bodies, against other decoders of the same formats.

use std::io::Read as _;

use argus_core::api::{Action, Caller, Submitted};
use argus_core::batch::Batch;
use argus_core::room::{NoRoom, Room};
use ruzstd::decoding::FrameDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::super::super::{Draft, NOW, Random, generate};
use super::super::replies::{BODY_BYTES_MAX, checked, request};
use super::super::{Target, ingest_check};

pub(super) const TARGET: Target = Target {
    name: "coding",
    about: "a compressed body has the events of its content, and no damaged or oversized one has any",
    run: coding,
    seeds,
    words: &["\u{1f}", "(", "\0\0\0\0", "P*M\u{18}\0\0\0\0"],
    smoke_runs: 500,
};

/// The most memory that decoding may ask for: the content twice while a buffer grows, the batch of it, and what a
/// decoder of zstd needs for the largest window.
const ROOM_BYTES_MAX: usize = 8 * BODY_BYTES_MAX + 20 * 1024 * 1024;

/// The first byte says which coding, and whether the others are a compressed body or its content.
///
/// # Panics
///
/// If a body has other events than its content, or takes more memory than it may.
fn coding(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let name = if kind & 1 == 0 { "gzip" } else { "zstd" };
    let compress = if kind & 1 == 0 { gzip } else { zstd };
    if kind & 2 != 0 {
        // Content, in one part or in two.
        let middle = rest.len() / 2;
        let (first, second) = rest.split_at(middle);
        if is_compressed(rest) {
            return;
        }
        for body in [compress(rest), [compress(first), compress(second)].concat()] {
            assert_eq!(events(name, &body), events("identity", rest), "{name} of {} bytes", rest.len());
        }
        return;
    }
    let content = if kind & 1 == 0 { gunzip(rest) } else { unzstd(rest) };
    match (events(name, rest), content) {
        // Damaged, or too large; the other decoder may accept more than we do.
        (Err(400 | 413), _) => {}
        (_, Some(content)) if is_compressed(&content) => {}
        (found, Some(content)) => assert_eq!(found, events("identity", &content), "{name}: {content:?}"),
        (found, None) => panic!("{name}: {found:?}, but the other decoder refuses the body"),
    }
}

/// Whether content has the first bytes of compressed content. Without a coding, it is refused with that hint.
fn is_compressed(content: &[u8]) -> bool {
    content.starts_with(b"\x1f\x8b") || content.starts_with(b"\x28\xb5\x2f\xfd")
}

/// The events of a body of lines, or the status of its refusal. Every object is an event, so that the result depends
/// on all of the content.
fn events(coding: &str, body: &[u8]) -> Result<Vec<Draft>, u16> {
    let fields = [
        ("content-type", &b"application/x-ndjson"[..]),
        ("content-encoding", coding.as_bytes()),
        ("prefer", b"handling=lenient"),
    ];
    let action = request("POST", "/events?type=a&time=now", &fields);
    let Action::Submit(submission) = action else { panic!("{action:?} for a valid head") };
    let mut asked = 0;
    let mut ask = |bytes: usize| -> Result<(), NoRoom> {
        asked = bytes;
        Ok(())
    };
    let submitted = submission.handle_body_within(body, NOW, Room::new(&mut ask));
    assert!(asked <= ROOM_BYTES_MAX, "{coding}: {asked} bytes of memory for a body of {}", body.len());
    match submitted {
        Submitted::Commit(batch, _) => Ok(drafts(&batch)),
        Submitted::Reply(draft) => {
            let reply = checked(&Caller::default(), draft);
            assert!(reply.decoded_bytes <= BODY_BYTES_MAX, "{coding}: {} bytes decoded", reply.decoded_bytes);
            match reply.status {
                200 => Ok(Vec::new()),
                status => Err(status),
            }
        }
    }
}

fn drafts(batch: &Batch) -> Vec<Draft> {
    batch.events().map(ingest_check::owned).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(content, flate2::Compression::fast());
    encoder.read_to_end(&mut body).expect("memory can be read");
    body
}

fn zstd(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Fastest)
}

/// The content of a gzip body, one byte more than the limit at most. `None` if it is damaged.
fn gunzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let decoder = flate2::bufread::MultiGzDecoder::new(body);
    decoder.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut content).ok().map(|_| content)
}

/// As [`gunzip`], but `None` also beyond the limit.
fn unzstd(body: &[u8]) -> Option<Vec<u8>> {
    let mut content = vec![0; BODY_BYTES_MAX];
    let len = FrameDecoder::new().decode_all(body, &mut content).ok()?;
    content.truncate(len);
    Some(content)
}

fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::seeded(4);
    let lines: String = (0..6).map(|_| generate::payload(&mut random) + "\n").collect();
    let contents = ["", "{\"a\":1}\n", &lines, &" ".repeat(4000)];
    let mut seeds = Vec::new();
    for content in contents {
        let content = content.as_bytes();
        seeds.extend([[&[2], content].concat(), [&[3], content].concat()]);
        seeds.extend([[vec![0], gzip(content)].concat(), [vec![1], zstd(content)].concat()]);
    }
    // Bombs: a few bytes of 100,000.
    let bomb = vec![b'\n'; 100_000];
    seeds.extend([[vec![0], gzip(&bomb)].concat(), [vec![1], zstd(&bomb)].concat()]);
    // A skippable frame, and a header that declares more than follows.
    seeds.push(b"\x01\x50\x2a\x4d\x18\x02\0\0\0ab".to_vec());
    seeds.push(b"\x01\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x0f".to_vec());
    seeds
}
