//! The head of a request.

use argus_core::api::RequestHead;

/// The most bytes of request line and header fields together.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most header fields.
const FIELDS_MAX: usize = 100;

/// A request's head, kept while its body is read.
#[derive(Debug)]
pub(crate) struct ReceivedHead {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names are in lower case.
    fields: Vec<(String, Vec<u8>)>,
    pub(crate) http_10: bool,
    /// The length of the head in bytes.
    pub(crate) length: usize,
}

/// Why bytes are not a valid head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    Malformed,
    TooLarge,
    /// Another version of HTTP than 1.0 and 1.1.
    Version,
}

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

impl ReceivedHead {
    /// Parses a head at the start of `bytes`; `None` if it is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(httparse::Error::Version) if is_of_other_version(bytes) => return Err(HeadError::Version),
            Err(_) => return Err(HeadError::Malformed),
        };
        let fields =
            request.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
        Ok(Some(Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            fields,
            http_10: request.version == Some(0),
            length,
        }))
    }

    /// Calls `f` with the head in the core's form.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&RequestHead<'_>) -> R) -> R {
        let headers: Vec<(&str, &[u8])> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        f(&RequestHead {
            method: &self.method,
            target: &self.target,
            headers: &headers,
            http_10: self.http_10,
            peer: None,
        })
    }

    /// How the body is delimited. The core refuses contradictions.
    pub(crate) fn framing(&self) -> Framing {
        if self.values("transfer-encoding").next().is_some() {
            return Framing::Chunked;
        }
        let length = self.values("content-length").next().and_then(|value| std::str::from_utf8(value).ok());
        let length = length.and_then(|text| text.trim().parse().ok());
        Framing::Length(length.unwrap_or(0))
    }

    /// Whether the client waits for `100 Continue`.
    pub(crate) fn expects_continue(&self) -> bool {
        !self.http_10 && self.values("expect").next().is_some()
    }

    /// Whether the client wants to reuse the connection.
    pub(crate) fn keeps_alive(&self) -> bool {
        let has = |wanted: &str| {
            self.values("connection").any(|value| {
                value
                    .split(|byte| *byte == b',')
                    .any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
            })
        };
        if self.http_10 { has("keep-alive") } else { !has("close") }
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// Whether bytes start with a request line with a well-formed version: `HTTP/`, and a digit on each side of a dot.
fn is_of_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).find(|line| !line.is_empty());
    let version =
        line.and_then(|line| line.rsplit(|byte| *byte == b' ').next()).and_then(|word| word.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}
