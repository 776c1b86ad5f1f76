//! A request's head as it was sent, where hyper shows it changed or not at all.

/// A head taken apart, as far as that goes: it need not be one that hyper would accept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawHead {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, values without the white space around them.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) http_10: bool,
}

impl RawHead {
    /// Takes apart what begins with a head. `None` where there is no request line, a line is no field, or the end is missing.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        // RFC 9112, section 2.2: an empty line before the head is skipped, and a bare line feed may end a line.
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').map_while(|line| line.strip_suffix(b"\n"));
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let request_line = lines.find(|line| !line.is_empty())?;
        let mut words = std::str::from_utf8(request_line).ok()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !matches!(version, "HTTP/1.0" | "HTTP/1.1") || words.next().is_some() {
            return None;
        }
        let mut fields = Vec::new();
        for line in lines {
            if line.is_empty() {
                let (method, target) = (method.to_owned(), target.to_owned());
                return Some(Self { method, target, fields, http_10: version == "HTTP/1.0" });
            }
            let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
            let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
            fields.push((name, value.get(1..)?.trim_ascii().to_vec()));
        }
        None
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_field_is_found_in_the_head_and_not_in_the_body() {
        let head = b"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH:  5 \r\n\r\nX-Body: 1\r\n\r\n";
        let head = RawHead::parse(head).unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str(), head.http_10), ("POST", "/a?b", false));
        assert_eq!(head.field("content-length"), Some(b"5".as_slice()));
        assert_eq!(head.field("host"), Some(b"a".as_slice()));
        assert_eq!(head.field("content"), None);
        assert_eq!(head.field("x-body"), None);
    }

    #[test]
    fn what_is_no_head_is_none() {
        for bytes in [
            "",
            "GARBAGE\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno field\r\n\r\n",
        ] {
            assert_eq!(RawHead::parse(bytes.as_bytes()), None, "{bytes:?}");
        }
    }
}
