//! A request's head as it was sent: hyper normalises heads, and does not show the ones that it refuses.

/// A parsed head. It need not be one that hyper would accept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawHead {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, values without surrounding white space.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) http_10: bool,
    /// The length of the head, in bytes.
    pub(crate) length: usize,
}

impl RawHead {
    /// Parses a head at the start of `bytes`. `None` if there is no request line, a line is not a field, or the end is
    /// missing.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut length = 0;
        let mut lines = lines(bytes).inspect(|(_, end)| length = *end).map(|(line, _)| line);
        let mut words = std::str::from_utf8(lines.find(|line| !line.is_empty())?).ok()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !matches!(version, "HTTP/1.0" | "HTTP/1.1") || words.next().is_some() {
            return None;
        }
        let mut fields = Vec::new();
        for line in lines.by_ref() {
            if line.is_empty() {
                let (method, target) = (method.to_owned(), target.to_owned());
                drop(lines);
                return Some(Self { method, target, fields, http_10: version == "HTTP/1.0", length });
            }
            let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
            let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
            fields.push((name, value.get(1..)?.trim_ascii().to_vec()));
        }
        None
    }

    /// Whether `bytes` begin with a request line of another version of HTTP than 1.0 and 1.1. The rest of the head may
    /// be missing.
    pub(crate) fn is_of_other_version(bytes: &[u8]) -> bool {
        let request_line = lines(bytes).map(|(line, _)| line).find(|line| !line.is_empty()).unwrap_or_default();
        let mut words = request_line.split(|&byte| byte == b' ');
        let (Some(_method), Some(_target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        // RFC 9112, section 2.3: one digit each.
        match version {
            b"HTTP/1.0" | b"HTTP/1.1" => false,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
            _ => false,
        }
    }

    /// The length of the target at the start of `bytes`, of which the rest may be missing.
    pub(crate) fn target_bytes(bytes: &[u8]) -> usize {
        let line = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
        line.split(|&byte| byte == b' ').nth(1).map_or(0, <[u8]>::len)
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice())
    }
}

/// The complete lines without their ends, each with the offset of the next one. A bare line feed may end a line (RFC
/// 9112, section 2.2, which also allows empty lines before a head).
fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    bytes.split_inclusive(|&byte| byte == b'\n').scan(0, |end, line| {
        *end += line.len();
        let line = line.strip_suffix(b"\n")?;
        Some((line.strip_suffix(b"\r").unwrap_or(line), *end))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_field_is_found_in_the_head_and_not_in_the_body() {
        let head = b"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH:  5 \r\n\r\nX-Body: 1\r\n\r\n";
        let length = head.len() - b"X-Body: 1\r\n\r\n".len();
        let head = RawHead::parse(head).unwrap();
        assert_eq!(head.length, length);
        assert_eq!((head.method.as_str(), head.target.as_str(), head.http_10), ("POST", "/a?b", false));
        assert_eq!(head.field("content-length"), Some(b"5".as_slice()));
        assert_eq!(head.field("host"), Some(b"a".as_slice()));
        assert_eq!(head.field("content"), None);
        assert_eq!(head.field("x-body"), None);
    }

    #[test]
    fn the_target_of_part_of_a_head_has_a_length() {
        for (bytes, length) in [
            ("", 0),
            ("GET", 0),
            ("GET ", 0),
            ("GET /abc", 4),
            ("\r\nGET /abc HTTP/1.1\r\nx: y z\r\n", 4),
            ("a\nb c", 0),
        ] {
            assert_eq!(RawHead::target_bytes(bytes.as_bytes()), length, "{bytes:?}");
        }
    }

    #[test]
    fn malformed_heads_are_none() {
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

    #[test]
    fn other_versions_are_recognised_by_the_request_line() {
        for bytes in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\nGET / HTTP/1.2\r\nHo", "GET / HTTP/0.9\n"] {
            assert!(RawHead::is_of_other_version(bytes.as_bytes()), "{bytes:?}");
        }
        for bytes in [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.0\r\n",
            "GET / HTTP/2.0",
            "GET / HTTP/2\r\n",
            "GET / HTTP/2.00\r\n",
            "GET / http/2.0\r\n",
            "GET / / HTTP/2.0\r\n",
            "GET /\r\n",
            "",
        ] {
            assert!(!RawHead::is_of_other_version(bytes.as_bytes()), "{bytes:?}");
        }
    }
}
