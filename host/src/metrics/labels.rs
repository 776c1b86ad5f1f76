//! The fixed sets of label values, in the order of their indexes.

use http::Method;

/// What can go wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A request's head did not arrive within the header timeout.
    HeadTimeout,
    /// The client took nothing of its answer for the write timeout.
    WriteTimeout,
    /// The client did not send HTTP/1.1.
    Malformed,
    /// The connection ended within a request: the body ended early or in the middle of its framing, or the client left
    /// before the answer was written. Connections that end between requests do not count.
    Broken,
    /// The connection was closed, because it was idle longest when another one needed room.
    IdleClosed,
    /// The next connection could not be accepted.
    Accept,
}

impl Incident {
    pub(super) const ALL: [Self; 6] =
        [Self::HeadTimeout, Self::WriteTimeout, Self::Malformed, Self::Broken, Self::IdleClosed, Self::Accept];

    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeadTimeout => "head_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Malformed => "malformed",
            Self::Broken => "broken",
            Self::IdleClosed => "idle_closed",
            Self::Accept => "accept",
        }
    }
}

/// Methods with a label of their own; the last one stands for all others.
pub(super) const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"];

pub(super) fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

/// Statuses with a label of their own; the index after the last stands for all others.
pub(super) const STATUSES: [u16; 21] =
    [200, 201, 204, 307, 400, 401, 403, 404, 405, 406, 408, 413, 415, 417, 422, 429, 431, 500, 501, 503, 505];

pub(super) fn status_index(status: u16) -> usize {
    STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len())
}

pub(super) fn status_label(index: usize) -> String {
    STATUSES.get(index).map_or_else(|| "other".to_owned(), u16::to_string)
}

#[cfg(test)]
mod tests {
    use argus_core::api::ProblemKind;
    use argus_core::ingest::FaultCode;

    use super::*;

    #[test]
    fn every_value_is_at_its_index() {
        assert!(ProblemKind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index));
        assert!(FaultCode::ALL.iter().enumerate().all(|(index, code)| *code as usize == index));
        assert!(Incident::ALL.iter().enumerate().all(|(index, incident)| *incident as usize == index));
        assert!(STATUSES.iter().enumerate().all(|(index, status)| status_index(*status) == index));
        assert_eq!(status_label(status_index(503)), "503");
        assert_eq!(status_label(status_index(299)), "other");
        for (index, method) in METHODS.iter().enumerate() {
            assert_eq!(Method::from_bytes(method.as_bytes()).map(|method| method_index(&method)).ok(), Some(index));
        }
    }
}
