//! Answers questions from columns.
//!
//! A question whose events may come in any order sees the fresh segments first, as a scan does, so that their memory
//! can be freed. Then a [`run`] goes through the blocks of the sealed segments. A [`worker`] answers each block by the
//! cheapest means that suffices: from the index alone, from the columns that the question names, or row by row. The
//! [`pieces`] of this work are independent, so that several threads can share them.

mod block_columns;
mod block_rows;
mod fresh;
mod pieces;
mod plan;
mod run;
mod sequence;
mod worker;

pub(super) use run::ColumnarRun;
pub(super) use sequence::SequenceRun;
