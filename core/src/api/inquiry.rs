//! Questions about many events: `GET /events/aggregate` and its like.

use alloc::format;

use super::csv_columns::{CSV_ESSENCE, CSV_MEDIA_TYPE};
use super::fields::preferred;
use super::problem_reply::ProblemReply;
use super::question_params::{read_aggregate, read_fields, read_funnel, read_retention, read_types};
use super::target::Target;
use super::{ProblemKind, RequestHead, Route};
use crate::analysis::{AnalysisLimits, Question};
use crate::auth::Access;

/// A `GET` or `HEAD` of a route that answers questions, with valid parameters.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) route: Route,
    pub(super) question: Question,
    pub(super) limits: AnalysisLimits,
    pub(super) format: AnswerFormat,
    pub(super) head_only: bool,
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    Json,
    /// For tables.
    Csv,
}

/// The routes that answer questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InquiryKind {
    Aggregate,
    Funnel,
    Retention,
    Types,
    Fields,
}

impl InquiryKind {
    pub(super) const fn route(self) -> Route {
        match self {
            Self::Aggregate => Route::Aggregate,
            Self::Funnel => Route::Funnel,
            Self::Retention => Route::Retention,
            Self::Types => Route::Types,
            Self::Fields => Route::Fields,
        }
    }

    /// The formats of the answer, in the order of the server's preference.
    const fn formats(self) -> &'static [AnswerFormat] {
        match self {
            Self::Aggregate => &[AnswerFormat::Json, AnswerFormat::Csv],
            Self::Funnel | Self::Retention | Self::Types | Self::Fields => &[AnswerFormat::Json],
        }
    }
}

impl Inquiry {
    pub(super) fn read(
        kind: InquiryKind,
        head: &RequestHead<'_>,
        target: &Target<'_>,
        access: &Access,
        limits: AnalysisLimits,
        head_only: bool,
    ) -> Result<Self, ProblemReply> {
        let params = &target.params;
        let question = match kind {
            InquiryKind::Aggregate => Question::Aggregate(read_aggregate(params, access)?),
            InquiryKind::Funnel => Question::Funnel(read_funnel(params, access)?),
            InquiryKind::Retention => Question::Retention(read_retention(params, access)?),
            InquiryKind::Types => Question::Types(read_types(params, access)?),
            InquiryKind::Fields => Question::Fields(read_fields(params, access)?),
        };
        let format = AnswerFormat::negotiate(head, kind.formats())?;
        Ok(Self { route: kind.route(), question, limits, format, head_only })
    }
}

impl AnswerFormat {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => CSV_MEDIA_TYPE,
        }
    }

    /// The type in a field `Accept`.
    const fn essence(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => CSV_ESSENCE,
        }
    }

    /// The format that the client prefers (RFC 9110, section 12.5.1); among several, the first.
    fn negotiate(head: &RequestHead<'_>, formats: &[Self]) -> Result<Self, ProblemReply> {
        let best = preferred(head, formats.iter().map(|format| format.essence()));
        best.and_then(|best| formats.get(best).copied()).ok_or_else(|| {
            let types: alloc::vec::Vec<_> = formats.iter().map(|format| format.essence()).collect();
            let detail = format!("the answer comes as {}", types.join(" or "));
            ProblemReply::new(ProblemKind::NotAcceptable, detail).with_header("vary", "accept")
        })
    }
}
