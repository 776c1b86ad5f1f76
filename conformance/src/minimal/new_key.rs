//! The command `key new`.

use std::fs::File;
use std::io::{self, Read, Write};

use argus_core::auth::{KeyName, NewKey, Scope, Scopes, parse_pattern};
use argus_core::event::Timestamp;
use lexopt::{Arg, Parser, ValueExt};

/// Reads the rest of the command line: what to make.
pub(crate) fn read(parser: &mut Parser) -> Result<NewKey, String> {
    let (mut name, mut scopes, mut types, mut expires) = (None, Scopes::default(), Vec::new(), None);
    let wrong = |error: lexopt::Error| error.to_string();
    match parser.next().map_err(wrong)? {
        Some(Arg::Value(action)) if action == "new" => {}
        _ => return Err("key: expected `key new`".to_owned()),
    }
    while let Some(argument) = parser.next().map_err(wrong)? {
        let Arg::Long(flag) = argument else { return Err(argument.unexpected().to_string()) };
        let flag = flag.to_owned();
        let value = parser.value().and_then(ValueExt::string).map_err(wrong)?;
        let named = |error: String| format!("--{flag}: {error}");
        match flag.as_str() {
            "name" => name = Some(KeyName::parse(&value).map_err(|error| named(error.to_string()))?),
            "scope" => {
                let scope = Scope::named(&value).ok_or_else(|| named("an unknown scope".to_owned()))?;
                scopes.insert(scope);
            }
            "type" => types.push(parse_pattern(&value).map_err(|error| named(error.to_string()))?),
            "expires" => expires = Some(Timestamp::parse(&value).map_err(|error| named(error.to_string()))?),
            _ => return Err(named("there is no such flag".to_owned())),
        }
    }
    let name = name.ok_or("--name is missing")?;
    if scopes == Scopes::default() {
        return Err("--scope is missing".to_owned());
    }
    Ok(NewKey { name, scopes, types, expires })
}

/// Prints the entry on standard output and the key on standard error.
pub(crate) fn print(new: &NewKey) -> io::Result<()> {
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let (secret, entry) = new.make(random);
    io::stdout().write_all(entry.as_bytes())?;
    io::stdout().flush()?;
    writeln!(io::stderr(), "{}", secret.expose())
}
