use alloc::string::String;

/// What is wrong with one event of a body, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Index of the event in the body; 0 for a single object.
    pub index: usize,
    /// JSON pointer as a URI fragment (RFC 6901, section 6): `#/3/timestamp`, or `#/timestamp` for a single object.
    pub pointer: String,
    /// The kind of fault, for machines.
    pub code: FaultCode,
    /// What is wrong, for people.
    pub detail: String,
}

/// The kinds of fault. A closed list: it labels metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultCode {
    /// A line that is not JSON (only where the good ones are kept).
    InvalidJson,
    /// Not a JSON object.
    NotAnObject,
    /// A required field is not there.
    MissingField,
    /// A field that events do not have.
    UnknownField,
    /// A field that is there twice.
    DuplicateField,
    /// A field of the wrong JSON type.
    WrongType,
    /// An `event_type` beyond its rules.
    InvalidEventType,
    /// A `timestamp` that is none.
    InvalidTimestamp,
    /// An `id` beyond its rules.
    InvalidId,
    /// A payload above the limit.
    PayloadTooLarge,
}
