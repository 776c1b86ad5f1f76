//! Responses as they came over the wire, and the checks that cases make on them.

use serde_json::Value;

use crate::compress;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

/// The most header fields of a response.
const HEADERS_MAX: usize = 64;

/// How the end of a response's body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the header fields say: the response to `HEAD`, 1xx, 204, 304.
    None,
    /// `Content-Length`.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection.
    Close,
}

/// The status line and header fields of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// The status code.
    pub status: u16,
    /// Header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Where the body ends.
    pub framing: Framing,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status line and header fields.
    pub head: Head,
    /// The body, joined from its chunks, in its content coding.
    pub body: Vec<u8>,
}

impl Framing {
    fn of(headers: &[(String, String)], method: &str, status: u16) -> Result<Self, Failure> {
        let values =
            |name: &str| headers.iter().filter(|(known, _)| known == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Ok(Self::None);
        }
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Self::Close),
            ([length], []) => length
                .parse()
                .map(Self::Length)
                .map_err(|_| Failure::unmet(format!("a Content-Length, not {length:?}"))),
            ([], ["chunked"]) => Ok(Self::Chunked),
            _ => {
                Err(Failure::unmet(format!("one way to tell where the response ends, not {lengths:?} and {codings:?}")))
            }
        }
    }
}

impl Head {
    /// Parses the head of a response to `method`; returns it and its length, or `None` if it is incomplete.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the bytes are not HTTP, or the end of the body is ambiguous.
    pub(super) fn parse(bytes: &[u8], method: &str) -> Result<Option<(Self, usize)>, Failure> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => {
                let text = bytes.get(..200).unwrap_or(bytes).escape_ascii().to_string();
                return Err(Failure::unmet(format!("a response of HTTP/1.1 ({error}), not {text:?}")));
            }
        };
        let mut headers = Vec::new();
        for field in response.headers.iter() {
            let value = String::from_utf8(field.value.to_vec())
                .map_err(|_| Failure::unmet(format!("a header field {} in UTF-8", field.name)))?;
            headers.push((field.name.to_ascii_lowercase(), value));
        }
        let status = response.code.unwrap_or_default();
        let framing = Framing::of(&headers, method, status)?;
        Ok(Some((Self { minor_version: response.version.unwrap_or_default(), status, headers, framing }, length)))
    }

    /// The value of the header field; `None` if it is missing or repeated.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next()?;
        values.next().is_none().then_some(value.1.as_str())
    }
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of the header field; `None` if it is missing or repeated.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The response without the content coding of its body.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the coding is unknown, or the body is not valid in it.
    pub fn decoded(self) -> Result<Self, Failure> {
        let body = compress::decoded(self.header("content-encoding"), &self.body)?.into_owned();
        Ok(Self { body, ..self })
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not UTF-8.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.body).map_err(|error| Failure::unmet(format!("a body in UTF-8: {error}")))
    }

    /// The text of a JSON body, without the line end after it.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not UTF-8, or does not end with exactly one line end.
    pub fn json_text(&self) -> Result<&str, Failure> {
        let text = self.text()?;
        match text.strip_suffix('\n') {
            Some(document) if document.ends_with(|last: char| !last.is_whitespace()) => Ok(document),
            Some(_) | None => Err(Failure::unmet(format!("a body with one line end after the JSON, not {text:?}"))),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not JSON with a line end.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(self.json_text()?).map_err(|error| Failure::unmet(format!("a body of JSON: {error}")))
    }

    /// The body of an answer to a submission, without the member `durable`, whose value depends on the repository.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not a JSON object with this member.
    pub fn acknowledgement(&self) -> Result<Value, Failure> {
        let mut body = self.json()?;
        match body.as_object_mut().and_then(|members| members.remove("durable")) {
            Some(Value::Bool(_)) => Ok(body),
            other => Err(Failure::unmet(format!("a member \"durable\" that is true or false, not {other:?}"))),
        }
    }

    /// The events of a `200` answer to `GET /events`, in their order.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is another answer.
    pub fn events(&self) -> Result<Vec<Value>, Failure> {
        self.expect(200)?;
        match self.json()? {
            Value::Array(events) => Ok(events),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Err(Failure::unmet(format!("an array of events, not {other}")))
            }
        }
    }

    /// A member of a JSON body.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the body has no member of this name.
    pub fn member(&self, name: &str) -> Result<Value, Failure> {
        self.json()?.get(name).cloned().ok_or_else(|| Failure::unmet(format!("a body with the member {name:?}")))
    }

    /// Requires this status.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is another.
    pub fn expect(&self, status: u16) -> Outcome {
        check_eq!(self.status(), status, "the status of the response");
        Ok(())
    }

    /// Requires a header field with this value, exactly once.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is missing, repeated or different.
    pub fn expect_header(&self, name: &str, value: &str) -> Outcome {
        check_eq!(self.header(name), Some(value), "the header field {name}");
        Ok(())
    }

    /// Requires problem details (RFC 9457) of this status; returns them.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the status differs, or the body lacks a member of problem details.
    pub fn problem(&self, status: u16) -> Result<Value, Failure> {
        self.expect(status)?;
        self.expect_header("content-type", "application/problem+json")?;
        let problem = self.json()?;
        for member in ["type", "title", "detail"] {
            let text = problem.get(member).and_then(Value::as_str).unwrap_or_default();
            check!(!text.is_empty(), "problem details with a member {member:?} that says something, not {problem}");
        }
        check_eq!(problem.get("status"), Some(&Value::from(status)), "the status inside the problem details");
        Ok(problem)
    }

    /// Requires problem details whose `detail` names `word`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if they do not.
    pub fn problem_naming(&self, status: u16, word: &str) -> Outcome {
        let problem = self.problem(status)?;
        let detail = problem.get("detail").and_then(Value::as_str).unwrap_or_default();
        check!(detail.contains(word), "a detail that names {word:?}, not {detail:?}");
        Ok(())
    }

    /// Requires a 422 whose faults have exactly these pointers, in this order.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the pointers differ or a fault lacks its code or detail.
    pub fn faults_at(&self, pointers: &[&str]) -> Outcome {
        let problem = self.problem(422)?;
        let faults = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        check_fault_shape(&faults)?;
        let found: Vec<&str> = faults.iter().filter_map(|fault| fault.get("pointer")?.as_str()).collect();
        check_eq!(found, pointers, "the pointers of the faults");
        Ok(())
    }

    /// Requires a 422 with one fault of this pointer and code.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is another.
    pub fn fault(&self, pointer: &str, code: &str) -> Outcome {
        self.faults_at(&[pointer])?;
        let problem = self.json()?;
        check_eq!(
            problem.pointer("/errors/0/code").and_then(Value::as_str),
            Some(code),
            "the code of the fault at {pointer}"
        );
        Ok(())
    }
}

/// Requires each fault to have a pointer into the body, a code and a detail.
///
/// # Errors
///
/// [`Failure`] for the first fault that lacks one of them.
pub(crate) fn check_fault_shape(faults: &[Value]) -> Outcome {
    for fault in faults {
        for member in ["pointer", "code", "detail"] {
            let text = fault.get(member).and_then(Value::as_str).unwrap_or_default();
            check!(!text.is_empty(), "a fault with a member {member:?} that says something, not {fault}");
        }
        let pointer = fault.get("pointer").and_then(Value::as_str).unwrap_or_default();
        check!(pointer.starts_with('#'), "a pointer that begins with '#', not {pointer:?}");
    }
    Ok(())
}
