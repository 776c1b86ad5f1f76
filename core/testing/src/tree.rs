//! A JSON text as a tree, parsed in the simplest way. The parser is recursive, so the generators must limit the depth.

use std::iter::Peekable;
use std::str::Chars;

/// A JSON value. Numbers keep their text; objects keep all members, including those with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(Text),
    Array(Vec<Self>),
    /// The members, and the text of the whole.
    Object(Vec<(Text, Self)>, String),
}

/// A JSON string without escapes, as code points. Unpaired surrogates are kept. The order is that of the bytes of
/// UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(pub(super) Vec<u32>);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.chars().map(u32::from).collect())
    }
}

impl Text {
    /// The text; `None` if it has unpaired surrogates.
    pub(super) fn unicode(&self) -> Option<String> {
        self.0.iter().copied().map(char::from_u32).collect()
    }
}

/// Parses a JSON text; `None` if it is invalid. White space between tokens is invalid, since payloads have none.
pub(super) fn parse(json: &str) -> Option<Tree> {
    let mut rest = json.chars().peekable();
    let tree = value(&mut rest)?;
    rest.next().is_none().then_some(tree)
}

type Rest<'a> = Peekable<Chars<'a>>;

fn value(rest: &mut Rest<'_>) -> Option<Tree> {
    match rest.peek()? {
        'n' => word(rest, "null").map(|()| Tree::Null),
        't' => word(rest, "true").map(|()| Tree::Bool(true)),
        'f' => word(rest, "false").map(|()| Tree::Bool(false)),
        '"' => text(rest).map(Tree::Text),
        '[' => array(rest),
        '{' => object(rest),
        _ => number(rest),
    }
}

fn word(rest: &mut Rest<'_>, expected: &str) -> Option<()> {
    expected.chars().all(|character| rest.next() == Some(character)).then_some(())
}

fn array(rest: &mut Rest<'_>) -> Option<Tree> {
    let mut elements = Vec::new();
    word(rest, "[")?;
    if rest.next_if_eq(&']').is_some() {
        return Some(Tree::Array(elements));
    }
    loop {
        elements.push(value(rest)?);
        match rest.next()? {
            ',' => {}
            ']' => return Some(Tree::Array(elements)),
            _ => return None,
        }
    }
}

fn object(rest: &mut Rest<'_>) -> Option<Tree> {
    let mut members = Vec::new();
    let whole: Vec<char> = rest.clone().collect();
    let text = |rest: &Rest<'_>| whole.iter().take(whole.len() - rest.clone().count()).collect();
    word(rest, "{")?;
    if rest.next_if_eq(&'}').is_some() {
        return Some(Tree::Object(members, text(rest)));
    }
    loop {
        let name = self::text(rest)?;
        word(rest, ":")?;
        members.push((name, value(rest)?));
        match rest.next()? {
            ',' => {}
            '}' => return Some(Tree::Object(members, text(rest))),
            _ => return None,
        }
    }
}

fn number(rest: &mut Rest<'_>) -> Option<Tree> {
    let mut text = String::new();
    text.extend(rest.next_if_eq(&'-'));
    if let Some(zero) = rest.next_if_eq(&'0') {
        text.push(zero);
    } else {
        digits(rest, &mut text)?;
    }
    if let Some(point) = rest.next_if_eq(&'.') {
        text.push(point);
        digits(rest, &mut text)?;
    }
    if let Some(e) = rest.next_if(|&character| matches!(character, 'e' | 'E')) {
        text.push(e);
        text.extend(rest.next_if(|&character| matches!(character, '+' | '-')));
        digits(rest, &mut text)?;
    }
    Some(Tree::Number(text))
}

/// One digit or more.
fn digits(rest: &mut Rest<'_>, text: &mut String) -> Option<()> {
    let before = text.len();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        text.push(digit);
    }
    (text.len() > before).then_some(())
}

fn text(rest: &mut Rest<'_>) -> Option<Text> {
    let mut units = Vec::new();
    word(rest, "\"")?;
    loop {
        match rest.next()? {
            '"' => return Some(Text(join_surrogates(&units))),
            '\\' => units.push(escape(rest)?),
            '\0'..='\u{1f}' => return None,
            character => units.push(u32::from(character)),
        }
    }
}

/// The character after a backslash.
fn escape(rest: &mut Rest<'_>) -> Option<u32> {
    match rest.next()? {
        'b' => Some(0x08),
        't' => Some(0x09),
        'n' => Some(0x0a),
        'f' => Some(0x0c),
        'r' => Some(0x0d),
        'u' => (0..4).try_fold(0, |unit, _| Some(unit * 16 + rest.next()?.to_digit(16)?)),
        character @ ('"' | '\\' | '/') => Some(u32::from(character)),
        _ => None,
    }
}

/// Joins each high surrogate with the low surrogate that follows it (RFC 8259, section 7).
fn join_surrogates(units: &[u32]) -> Vec<u32> {
    let mut joined: Vec<u32> = Vec::new();
    for &unit in units {
        match joined.last_mut() {
            Some(high @ 0xd800..0xdc00) if (0xdc00..0xe000).contains(&unit) => {
                *high = 0x1_0000 + ((*high - 0xd800) << 10) + (unit - 0xdc00);
            }
            _ => joined.push(unit),
        }
    }
    joined
}

#[cfg(test)]
mod tests {

    use super::*;

    fn text(text: &str) -> Tree {
        Tree::Text(text.into())
    }

    #[test]
    fn every_kind_of_value_is_parsed() {
        let json = r#"{"a":[null,true,false,-1.50e+07,"x"],"a":{},"b":[]}"#;
        let first = vec![Tree::Null, Tree::Bool(true), Tree::Bool(false), Tree::Number("-1.50e+07".into()), text("x")];
        let members = vec![
            ("a".into(), Tree::Array(first)),
            ("a".into(), Tree::Object(vec![], "{}".into())),
            ("b".into(), Tree::Array(vec![])),
        ];
        assert_eq!(parse(json), Some(Tree::Object(members, json.into())));
    }

    #[test]
    fn escapes_are_decoded() {
        assert_eq!(parse(r#""\"\\\/\b\f\n\r\t\u0041\u00E9\u00e9""#), Some(text("\"\\/\u{8}\u{c}\n\r\tAéé")));
        assert_eq!(parse(r#""\ud83e\udd80""#), Some(text("🦀")));
        assert_eq!(parse(r#""\udd80\ud83ex""#), Some(Tree::Text(Text(vec![0xdd80, 0xd83e, u32::from('x')]))));
    }

    #[test]
    fn invalid_json_is_refused() {
        let wrong = [
            "",
            " 1",
            "1 ",
            "01",
            "+1",
            "-",
            ".5",
            "1.",
            "1e",
            "1e+",
            "nul",
            "nulll",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            "[",
            "[1,]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "1,2",
        ];
        for json in wrong {
            assert_eq!(parse(json), None, "{json:?}");
        }
    }
}
