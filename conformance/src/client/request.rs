//! Requests as they go over the wire.

/// A request. It is sent as it is; only `Host` is added, and `Content-Length` if there is a body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target, already percent-encoded.
    pub target: String,
    /// Header fields in their order.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A request without header fields or body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` of `body`.
    #[must_use]
    pub fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).header("content-type", content_type).body(body)
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The head as it goes over the wire, ending in the empty line.
    #[must_use]
    pub fn head_bytes(&self, host: &str) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            out.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        out.push_str("\r\n");
        out.into_bytes()
    }

    /// The whole request as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut out = self.head_bytes(host);
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out
    }
}
