//! Answers, and how they are written.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::fields::FieldList;
use super::funnel::FunnelSteps;
use super::retention::Cohorts;
use super::table::Table;
use super::types::TypeList;

/// The answer to a question. It may be long, so it is written piece by piece.
#[derive(Debug)]
pub struct Answer {
    content: Content,
    /// The piece that is written next.
    next: Piece,
}

#[derive(Debug)]
pub(super) enum Content {
    Table(Box<Table>),
    Funnel(FunnelSteps),
    Cohorts(Cohorts),
    Types(TypeList),
    Fields(FieldList),
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Head,
    Row(usize),
    Done,
}

impl Answer {
    pub(super) const fn new(content: Content) -> Self {
        Self { content, next: Piece::Head }
    }

    /// Appends what follows of the JSON text, until `out` has `enough` bytes and a row is complete. Returns whether
    /// that was the end. Do not change between this and [`write_csv`](Self::write_csv).
    pub fn write_json(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        self.write(out, enough, Content::write_head, Content::write_row, Content::write_tail)
    }

    /// The same as comma-separated values with a header line (RFC 4180). Of an answer that is not a table, nothing is
    /// written.
    pub fn write_csv(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        self.write(out, enough, Content::write_csv_head, Content::write_csv_row, |_, _| {})
    }

    /// Memory in bytes. Cheap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.content {
            Content::Table(table) => table.held_bytes(),
            Content::Funnel(_) => 0,
            Content::Cohorts(cohorts) => cohorts.held_bytes(),
            Content::Types(types) => types.held_bytes(),
            Content::Fields(fields) => fields.held_bytes(),
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        enough: usize,
        head: fn(&mut Content, &mut Vec<u8>),
        row: fn(&mut Content, usize, &mut Vec<u8>),
        tail: fn(&mut Content, &mut Vec<u8>),
    ) -> bool {
        loop {
            self.next = match self.next {
                Piece::Head => {
                    head(&mut self.content, out);
                    Piece::Row(0)
                }
                Piece::Row(at) if at < self.content.rows() => {
                    row(&mut self.content, at, out);
                    Piece::Row(at + 1)
                }
                Piece::Row(_) => {
                    tail(&mut self.content, out);
                    Piece::Done
                }
                Piece::Done => return true,
            };
            if out.len() >= enough {
                return matches!(self.next, Piece::Done);
            }
        }
    }
}

impl Content {
    fn rows(&self) -> usize {
        match self {
            Self::Table(table) => table.len(),
            Self::Funnel(_) => 0,
            Self::Cohorts(cohorts) => cohorts.len(),
            Self::Types(types) => types.len(),
            Self::Fields(fields) => fields.len(),
        }
    }

    fn write_head(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.write_head(out),
            Self::Funnel(steps) => steps.write(out),
            Self::Cohorts(_) => out.extend_from_slice(b"{\"cohorts\":["),
            Self::Types(_) | Self::Fields(_) => out.push(b'['),
        }
    }

    fn write_row(&mut self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(if row > 0 { b"," } else { b"" });
        match self {
            Self::Table(table) => table.write_row(row, out),
            Self::Funnel(_) => {}
            Self::Cohorts(cohorts) => cohorts.write_row(row, out),
            Self::Types(types) => types.write_row(row, out),
            Self::Fields(fields) => fields.write_row(row, out),
        }
    }

    fn write_tail(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.write_tail(out),
            Self::Funnel(_) => {}
            Self::Cohorts(_) => out.extend_from_slice(b"]}"),
            Self::Types(_) | Self::Fields(_) => out.push(b']'),
        }
        // So that the prompt of a shell does not follow on the same line.
        out.push(b'\n');
    }

    fn write_csv_head(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.write_csv_head(out),
            Self::Funnel(_) | Self::Cohorts(_) | Self::Types(_) | Self::Fields(_) => {}
        }
    }

    fn write_csv_row(&mut self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Table(table) => table.write_csv_row(row, out),
            Self::Funnel(_) | Self::Cohorts(_) | Self::Types(_) | Self::Fields(_) => {}
        }
    }
}
