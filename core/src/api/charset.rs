//! The charsets of bodies: UTF-8, and ASCII, which is a part of it.

/// Labels of UTF-8 and ASCII, in lower case. The body is UTF-8 with each of them.
///
/// Those of UTF-8 are from the WHATWG Encoding Standard, section 4.2, and the IANA registry of character sets. Those of
/// ASCII are from the registry, except `ascii`, which only the Encoding Standard has. There, all of them are labels of
/// windows-1252, as are those of Latin-1, which is another encoding.
const LABELS: [&str; 18] = [
    "utf-8",
    "utf8",
    "unicode-1-1-utf-8",
    "unicode11utf8",
    "unicode20utf8",
    "x-unicode20utf8",
    "csutf8",
    "us-ascii",
    "ascii",
    "ansi_x3.4-1968",
    "ansi_x3.4-1986",
    "iso_646.irv:1991",
    "iso646-us",
    "iso-ir-6",
    "us",
    "ibm367",
    "cp367",
    "csascii",
];

/// Whether this label, in lower case, means that a text is UTF-8.
pub(super) fn is_utf8(label: &str) -> bool {
    LABELS.contains(&label)
}
