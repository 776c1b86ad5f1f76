//! `GET /events`: what is asked for.

use alloc::format;
use alloc::string::{String, ToString as _};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::RequestHead;
use super::params::read_scan;
use super::problem_reply::ProblemReply;
use super::search_format::SearchFormat;
use super::target::Target;
use crate::auth::Access;
use crate::query::{Order, Position, Scan, encode_cursor};

/// The warning to a client that polls in the order of time: it takes the highest sequence number of a page for the next
/// `after_seq`, and so loses the events of later pages with lower numbers.
pub(super) const ORDER_WARNING: &str =
    "use order=seq to poll with after_seq and limit; in the order of time, later pages may have lower sequence numbers";

/// Characters that clients send unescaped, but that end a URL in a link or are not allowed in it (RFC 3986).
const ENCODED_IN_LINK: &AsciiSet = &CONTROLS
    .add(b'<')
    .add(b'>')
    .add(b'"')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'[')
    .add(b']');

/// A `GET` or `HEAD` of `/events` with valid parameters.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) scan: Scan,
    pub(super) format: SearchFormat,
    /// The query string as sent, without a cursor. The link to the next page begins with it.
    link_query: String,
    pub(super) head_only: bool,
}

impl Search {
    pub(super) fn read(
        head: &RequestHead<'_>,
        target: &Target<'_>,
        access: &Access,
        head_only: bool,
    ) -> Result<Self, ProblemReply> {
        let (scan, fields) = read_scan(&target.params, access)?;
        let format = SearchFormat::negotiate(head, fields)?;
        Ok(Self { scan, format, link_query: target.raw_query_without("cursor"), head_only })
    }

    /// The link to the next page (RFC 8288): the same parameters with another cursor. It is relative, because only the
    /// client knows under which name it reached the server.
    pub(super) fn next_link(&self, next: Position) -> String {
        let mut link = String::from("</events?");
        link.extend(utf8_percent_encode(&self.link_query, ENCODED_IN_LINK));
        if !self.link_query.is_empty() {
            link.push('&');
        }
        link.push_str(&format!("cursor={}>; rel=\"next\"", encode_cursor(next, &self.scan)));
        link
    }

    /// Whether a client that polls like this may lose events; see [`ORDER_WARNING`].
    pub(super) fn may_lose_events(&self) -> bool {
        match self.scan.order {
            Order::TimeAscending | Order::TimeDescending => {
                self.scan.limit.is_some() && self.scan.filter.after_seq.is_some()
            }
            Order::Sequence => false,
        }
    }

    /// The text of a position: its time, or its sequence number with `order=seq`.
    pub(super) fn position_text(&self, position: Position) -> String {
        match self.scan.order {
            Order::TimeAscending | Order::TimeDescending => position.timestamp.to_string(),
            Order::Sequence => position.seq.to_string(),
        }
    }
}
