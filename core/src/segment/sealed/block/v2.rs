//! Blocks in segments of version 2, which earlier versions of Argus wrote. They are read, but no longer written.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | CRC-32C of all bytes that follow |
//! | varint | number of rows n, 1 to 4096 |
//! | varint | number of types t |
//! | varint, … | t times: length of a type's name, and the name |
//! | packed | n timestamps, nanoseconds since the Unix epoch, with the sign bit flipped |
//! | packed | n sequence numbers |
//! | packed | n times of the commits, milliseconds since the Unix epoch |
//! | packed | n types, as indexes into the names; absent if t is 1 |
//! | 1 | whether any row has a caller's id, 0 or 1 |
//! | texts | n callers' ids, empty where there is none; absent if no row has one |
//! | payloads | n payloads |

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Block, Commits, PayloadColumns, ROWS_MAX};
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor, Packed, Payloads, Texts};

/// Checks and decodes a block that has exactly these bytes.
pub(super) fn decode(bytes: &Bytes) -> Result<Block, Corrupt> {
    let (crc, content) = bytes.split_first_chunk::<4>().ok_or(Corrupt("it ends too early"))?;
    if Crc32c::of(content) != u32::from_le_bytes(*crc) {
        return Err(Corrupt("its checksum is wrong"));
    }
    Ok(parse(bytes)?.0)
}

/// Checks and decodes a block at the beginning of these bytes; also returns its length.
pub(super) fn decode_front(bytes: &Bytes) -> Result<(Block, usize), Corrupt> {
    let (block, len) = parse(bytes)?;
    decode(&bytes.slice(..len))?;
    Ok((block, len))
}

/// Decodes a block without checking the checksum.
fn parse(bytes: &Bytes) -> Result<(Block, usize), Corrupt> {
    let mut cursor = Cursor::new(bytes.clone());
    let _crc = cursor.take(4)?;
    let rows = cursor.length(ROWS_MAX)?;
    let types = cursor.length(rows)?;
    if rows == 0 || types == 0 {
        return Err(Corrupt("it has no rows"));
    }
    let mut names = Vec::new();
    for _ in 0..types {
        let len = cursor.length(bytes.len())?;
        names.push(cursor.take(len)?);
    }
    let mut numbers = || {
        let mut numbers = Vec::new();
        Packed::decode(&mut cursor, rows)?.append_all(&mut numbers);
        Ok(numbers)
    };
    let (times, seqs) = (numbers()?, numbers()?);
    let mut block = Block {
        names,
        times,
        seqs,
        commits: Commits::Rows(Packed::decode(&mut cursor, rows)?),
        types: if types > 1 { Some(Packed::decode(&mut cursor, rows)?) } else { None },
        ids: if cursor.byte()? > 0 { Some(Texts::decode(&mut cursor, rows)?) } else { None },
        payloads: PayloadColumns::Shapes(Payloads::decode(&mut cursor, rows)?),
        memory_bytes: 0,
    };
    block.check()?;
    let len = bytes.len() - cursor.len();
    block.memory_bytes = size_of::<Block>() + len + block.columns_bytes();
    Ok((block, len))
}
