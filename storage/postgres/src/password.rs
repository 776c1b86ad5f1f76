//! The password file of libpq (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).

use std::env;
use std::fs;
use std::path::PathBuf;

/// The content of the file: lines of `HOST:PORT:DATABASE:USER:PASSWORD`, of which the first that fits has the password.
/// An asterisk fits any value. A backslash precedes a colon or a backslash that belongs to a value.
pub(crate) struct PasswordFile(String);

impl PasswordFile {
    /// Reads the file `PGPASSFILE`, by default `~/.pgpass`; `None` if there is none, or if others may read it, which
    /// libpq does not accept either.
    pub(crate) fn read() -> Option<Self> {
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".pgpass"));
        let path = env::var_os("PGPASSFILE").map(PathBuf::from).or_else(home)?;
        if is_readable_by_others(&path) {
            return None;
        }
        fs::read_to_string(path).ok().map(Self)
    }

    /// The password for this log-in.
    pub(crate) fn find(&self, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        let wanted = [host, &port.to_string(), database, user];
        self.0.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = fields(line);
            let (password, place) = fields.split_last()?;
            let fits = place.len() == wanted.len()
                && place.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
            fits.then(|| password.clone())
        })
    }
}

/// The fields of a line, without escapes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(field) = fields.last_mut() {
            field.push(character);
        }
    }
    fields
}

#[cfg(unix)]
fn is_readable_by_others(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &std::path::Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = PasswordFile(
            "# a comment\ndb:5432:shop:ann:one\ndb:*:*:ann:t\\:w\\\\o\n\\:\\:1:5432:shop:*:three:more\nbroken\n"
                .to_owned(),
        );
        for (host, port, database, user, password) in [
            ("db", 5432, "shop", "ann", Some("one")),
            ("db", 5433, "shop", "ann", Some(r"t:w\o")),
            ("::1", 5432, "shop", "bob", Some("three:more")),
            ("db", 5432, "shop", "bob", None),
            ("other", 5432, "shop", "ann", None),
        ] {
            assert_eq!(file.find(host, port, database, user).as_deref(), password, "{host} {port} {user}");
        }
    }
}
