//! Files of keys, right and wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::format;

use super::*;
use crate::event::EventType;

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// The error of a file whose only entry is valid but for these lines after it.
fn error(lines: &str) -> String {
    let text = format!("[[key]]\nname = \"web\"\nsha256 = \"{HASH}\"\n{lines}\n");
    parse(&text).unwrap_err().to_string()
}

#[test]
fn an_entry_has_a_name_a_hash_and_scopes() {
    let text = format!(
        "# keys\n[[key]]\nname = 'web'\nsha256 = '{HASH}'\nscopes = ['write', 'stream']\ntypes = ['web.*', 'login']\n\
         expires = 2027-01-31T00:00:00+01:00\nrate = '100/s'\nburst = 200\nrate_bytes = '1MiB/s'\n\n[[key]]\n\
         name = 'ops'\nsha256 = '{}'\nscopes = ['metrics']\nexpires = '2027-01-30T23:00:00Z'\nrate_bytes = '1KB/m'\n\
         burst_bytes = '5KB'\n",
        HASH.replace('b', "C")
    );
    let keys = parse(&text).unwrap();
    let [web, ops] = &keys[..] else { panic!("two keys") };
    assert_eq!((web.name.as_str(), ops.name.as_str()), ("web", "ops"));
    assert_eq!(web.hash, KeyHash::of("abc"));
    assert!(web.scopes.iter().eq([Scope::Write, Scope::Stream]));
    assert!(web.access.permits(EventType::parse("login").unwrap()));
    assert!(!web.access.permits(EventType::parse("logout").unwrap()));
    assert!(ops.access.types().is_none());
    assert_eq!(web.expires, ops.expires);
    assert_eq!(web.quotas.requests.unwrap().burst().get(), 200);
    assert_eq!(web.quotas.bytes.unwrap().burst().get(), 1 << 20);
    assert_eq!(ops.quotas.requests, None);
    assert_eq!((ops.quotas.bytes.unwrap().burst().get(), ops.quotas.bytes.unwrap().window_seconds()), (5000, 300));
}

#[test]
fn errors_name_the_line_the_key_and_the_field() {
    for (lines, expected) in [
        ("", "line 1, key 'web', scopes: this field is required"),
        ("scopes = []", "line 4, key 'web', scopes: the list is empty; a key without a scope is of no use"),
        ("scopes = 'read'", "line 4, key 'web', scopes: expected a list of texts"),
        ("scopes = ['read', 1]", "line 4, key 'web', scopes: expected a list of texts"),
        ("scopes = [\n'read',\n'admin']", "line 6, key 'web', scopes: unknown scope; the scopes are write, read,"),
        ("scopes = ['read', 'read']", "line 4, key 'web', scopes: this is given twice"),
        ("scope = ['read']", "line 4, key 'web': unknown field; a key has name, sha256, scopes"),
        ("scopes = ['read']\ntypes = []", "line 5, key 'web', types: the list is empty; leave it out"),
        ("scopes = ['read']\ntypes = ['a*']", "line 5, key 'web', types: '*' stands alone"),
        ("scopes = ['read']\ntypes = ['a', 'a']", "line 5, key 'web', types: this is given twice"),
        ("scopes = ['read']\nexpires = 2027-01-31", "line 5, key 'web', expires: expected a date and a time"),
        ("scopes = ['read']\nexpires = 2027-01-31T00:00:00", "line 5, key 'web', expires: expected a date and a time"),
        ("scopes = ['read']\nexpires = '1800000000'", "line 5, key 'web', expires: expected a date and a time"),
        ("scopes = ['read']\nexpires = 1800000000", "line 5, key 'web', expires: expected a date and a time"),
        ("scopes = ['read']\nrate = 100", "line 5, key 'web', rate: expected a text in quotes"),
        ("scopes = ['read']\nrate = '100'", "line 5, key 'web', rate: expected a number for each second"),
        ("scopes = ['read']\nrate = '0/s'", "line 5, key 'web', rate: must be more than zero"),
        ("scopes = ['read']\nburst = 5", "line 5, key 'web', burst: a burst without rate limits nothing"),
        ("scopes = ['read']\nrate = '1/s'\nburst = -5", "line 6, key 'web', burst: expected a whole number"),
        ("scopes = ['read']\nrate = '1/s'\nburst = 1.5", "line 6, key 'web', burst: expected a whole number"),
        ("scopes = ['read']\nrate_bytes = '1/d'", "line 5, key 'web', rate_bytes: expected a size for each second"),
        ("name = 'again'", "line 4: not TOML: duplicate key"),
        ("scopes = ['read'", "not TOML: "),
    ] {
        let error = error(lines);
        assert!(error.contains(expected), "{lines}\n{error}\n{expected}");
    }
    for (text, expected) in [
        ("", "line 1: there is no [[key]] entry"),
        ("# nothing\n", "there is no [[key]] entry"),
        ("[key]\nname = 'a'", "line 1: the file consists of [[key]] entries"),
        ("\nname = 'a'", "line 2: the file consists of [[key]] entries"),
        ("key = [1]", "line 1: expected [[key]]"),
        ("[[key]]\nname = 'a b'", "line 2, name: a name has 1 to 64 letters"),
        ("[[key]]\nsha256 = 'a'", "line 1, name: this field is required"),
        ("[[key]]\nname = 'a'\nsha256 = 'a'", "line 3, key 'a', sha256: expected 64 hexadecimal digits"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}\n{expected}");
    }
}

#[test]
fn names_and_hashes_are_unique() {
    let entry = |name: &str, hash: &str| format!("[[key]]\nname = '{name}'\nsha256 = '{hash}'\nscopes = ['read']\n");
    let other = HASH.replace('b', "c");
    let error = |second: String| parse(&[entry("a", HASH), second].concat()).unwrap_err().to_string();
    assert!(error(entry("a", &other)).starts_with("line 6, key 'a', name: the key in line 1 has the same name"));
    assert!(error(entry("b", HASH)).starts_with("line 7, key 'b', sha256: the key in line 1 has the same sha256"));
    assert!(parse(&[entry("a", HASH), entry("b", &other)].concat()).is_ok());
}

#[test]
fn every_name_is_accepted_but_that_of_a_key() {
    let entry = |name: &str| format!("[[key]]\nname = '{name}'\nsha256 = '{HASH}'\nscopes = ['read']\n");
    for name in ["argus_backup", "argus_", "a.b-c_d", "argus_0123456789abcdefghi"] {
        let keys = parse(&entry(name)).unwrap();
        assert_eq!(KeyName::parse(name), Ok(keys.first().unwrap().name.clone()));
    }
    assert!(KeyName::parse("argus_0123456789abcdefghij").is_err());
    assert_eq!(parse(&entry("argus_0123456789abcdefghij")).unwrap_err().fault, KeyFileFault::Secret);
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    let secret = "argus_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    for text in [
        format!("{secret}\n"),
        format!("[[key]]\n{secret}\n"),
        format!("[[key]]\nname = {secret}\n"),
        format!("{secret} = 1\n"),
        format!("[[key]]\n{secret} = 1\n"),
        format!("[[key]]\nname = '{secret}'\nsha256 = '{HASH}'\nscopes = ['read']"),
        format!("[[key]]\nname = 'a'\nsha256 = '{secret}'\n"),
    ] {
        let error = parse(&text).unwrap_err();
        assert_eq!(error.fault, KeyFileFault::Secret, "{text}");
        assert!(!format!("{error} {error:?}").contains("0123456789abcdef"), "{error:?}");
    }
    for text in [
        format!("[[key]]\nname = 'a'\nsha256 = '{HASH}'\nscopes = ['{secret}']"),
        format!("[[key]]\nname = 'a'\nsha256 = '{HASH}'\nscopes = ['read']\nexpires = '{secret}'"),
        format!("[[key]]\nname = 'a'\nsha256 = '{HASH}'\nscopes = ['read']\nrate = '{secret}'"),
        format!("[[key]]\nname = '{secret}'\nsha256 = '{HASH}'\nscopes = ['read']\nrole = 1"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("0123456789abcdef"), "{error:?}");
    }
}
