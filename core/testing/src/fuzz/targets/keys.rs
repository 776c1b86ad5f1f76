//! Files of keys.

use argus_core::auth::{KeyName, Keys, NewKey, Scope, Scopes, Secret, parse_pattern};
use argus_core::event::Timestamp;

use super::super::super::{NOW, Random};
use super::super::Target;

pub(super) const TARGET: Target = Target {
    name: "keys",
    about: "entries that `key new` prints are read as they were meant, and no error of a file repeats a key",
    run: keys,
    seeds,
    words: &[
        "[[key]]\n",
        "name = ",
        "sha256 = ",
        "scopes = ",
        "types = ",
        "expires = ",
        "rate = ",
        "burst = ",
        "rate_bytes = ",
        "burst_bytes = ",
        "['read']",
        "[\"*\"]",
        "'web.*'",
        "2027-01-31T00:00:00Z",
        "'100/s'",
        "'10MiB/s'",
        SECRET,
        "\"",
        "'",
        "\"\"\"",
        "#",
        "\n",
        "= [",
    ],
    smoke_runs: 1_500,
};

/// A key that gets into files by mistake.
const SECRET: &str = "argus_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";

/// # Panics
///
/// If a key is read otherwise than it was written, or if an error repeats a key.
fn keys(data: &[u8]) {
    let mut random = Random::bytes(data);
    let made: Vec<(NewKey, Secret, String)> = (0..random.below(4)).map(|number| new_key(&mut random, number)).collect();
    let file: String = made.iter().map(|(_, _, entry)| entry.as_str()).collect();
    match Keys::parse(&file) {
        Err(error) => assert!(made.is_empty(), "{error} in {file}"),
        Ok(keys) => check_made(&keys, &made),
    }

    let text = String::from_utf8_lossy(data);
    match Keys::parse(&text) {
        Err(error) => {
            let lines = 1 + text.matches('\n').count();
            assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shows_key(&shown), "the error repeats what may be a key: {shown}");
            }
        }
        Ok(keys) => check_read(&keys),
    }
}

/// Whether a text has the start of a key and about half of its digits.
fn shows_key(text: &str) -> bool {
    let is_digit = |character: &char| character.is_ascii_alphanumeric();
    text.match_indices("argus_")
        .any(|(at, prefix)| text[at + prefix.len()..].chars().take_while(is_digit).count() >= 20)
}

/// The keys that were read are those that were made, and each is found by its text alone.
fn check_made(keys: &Keys, made: &[(NewKey, Secret, String)]) {
    assert_eq!(keys.as_slice().len(), made.len());
    for (index, ((new, secret, entry), key)) in made.iter().zip(keys.as_slice()).enumerate() {
        assert_eq!((&key.name, key.scopes, key.expires), (&new.name, new.scopes, new.expires), "{entry}");
        let types: Vec<_> = key.access.types().map_or_else(Vec::new, |types| types.to_vec());
        let is_open = new.types.iter().any(|test| test.matches(b"any") && test.matches(b"other"));
        assert_eq!(types, if is_open { Vec::new() } else { new.types.clone() }, "{entry}");
        let is_valid = new.expires.is_none_or(|expires| expires > NOW);
        assert_eq!(keys.find(secret.expose(), NOW), is_valid.then_some(index), "{entry}");
        assert_eq!(keys.find(&secret.expose()[1..], NOW), None);
        assert_eq!(keys.position(&key.name), Some(index));
    }
}

/// What holds for every file that is accepted.
fn check_read(keys: &Keys) {
    assert!(!keys.as_slice().is_empty());
    for (index, key) in keys.as_slice().iter().enumerate() {
        assert_eq!(keys.position(&key.name), Some(index), "two keys have the name {}", key.name);
        assert_eq!(KeyName::parse(key.name.as_str()).as_ref(), Ok(&key.name));
        assert!(key.scopes != Scopes::default(), "a key without scopes");
        assert!(!shows_key(key.name.as_str()), "a key as a name");
    }
    assert_eq!(keys.find(SECRET, NOW), None, "nobody made this key");
}

fn new_key(random: &mut Random<'_>, number: u64) -> (NewKey, Secret, String) {
    let mut scopes = Scopes::default();
    scopes.insert(random.pick(&Scope::ALL));
    scopes.insert(random.pick(&Scope::ALL));
    let patterns = ["web.*", "a", "*", "größe \"quoted\\\" type", "日本語.*"];
    let mut types = Vec::new();
    for _ in 0..random.below(3) {
        let test = parse_pattern(random.pick(&patterns)).expect("these are patterns");
        if !types.contains(&test) {
            types.push(test);
        }
    }
    let nanos = i64::from_ne_bytes(random.number().to_ne_bytes());
    let expires = random.one_in(2).then(|| Timestamp::from_nanos(nanos));
    let name = KeyName::parse(&format!("{}{number}", random.pick(&["a", "web-", "B.c_"]))).expect("it is a name");
    let new = NewKey { name, scopes, types, expires };
    let seed: [u8; 32] = std::array::from_fn(|at| if at == 0 { number as u8 } else { random.below(256) as u8 });
    let (secret, entry) = new.make(seed);
    (new, secret, entry)
}

fn seeds() -> Vec<Vec<u8>> {
    let hash = "0123456789abcdef".repeat(4);
    let other = "fedcba9876543210".repeat(4);
    let by_hand = [
        format!("[[key]]\nname = 'a'\nsha256 = '{hash}'\nscopes = ['read', 'write']\ntypes = ['web.*', 'x']\n"),
        format!(
            "# comment\n[[key]]\nname = \"b\"\nsha256 = \"{hash}\"\nscopes = [\"stream\"]\n\
             expires = 2027-01-31T00:00:00Z\n\
             rate = '100/s'\nburst = '5'\nrate_bytes = '1MiB/m'\n\n\
             [[key]]\nname = 'c'\nsha256 = '{other}'\nscopes = ['metrics']\n"
        ),
        format!("[[key]]\nname = '{SECRET}'\nsha256 = '{hash}'\nscopes = ['read']\nrole = 1\n"),
        format!("[[key]]\nname = 'a'\nsha256 = '{SECRET}'\nscopes = ['read']\n"),
        format!("key = '{SECRET}'\n"),
        format!("[[key]]\nname = '{SECRET}\n"),
        "[key]\nname = 'a'\n".to_owned(),
        String::new(),
    ];
    let mut random = Random::seeded(6);
    let drawn = (0..4).map(|_| (0..120).map(|_| u8::try_from(random.below(256)).expect("below 256")).collect());
    by_hand.into_iter().map(String::into_bytes).chain(drawn).collect()
}
