/// One JSON value (RFC 8259), valid and without insignificant white space; every token is byte for byte what the caller sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a>(&'a str);
