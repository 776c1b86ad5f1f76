//! SQL for a server, through the client that comes with it.

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::ServerError;
use crate::version::PostgresVersion;

/// Executes statements in the database at this URL. Each is a transaction of its own, unless they say otherwise.
/// Returns the rows, one a line, with `|` between columns.
///
/// # Errors
///
/// There is no psql, the server does not answer, or a statement fails. Then the statements after it are not executed.
pub fn sql(url: &str, sql: &str) -> Result<String, ServerError> {
    let program = find()?;
    let mut psql = Command::new(&program);
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]);
    psql.args(["--set", "ON_ERROR_STOP=1", "--dbname", url]);
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = psql.spawn().map_err(ServerError::of(program.display()))?;
    let input = child.stdin.take();
    let output = thread::scope(|scope| {
        // psql may have to write before it reads on. If it has ended already, its message says more than this error.
        scope.spawn(move || input.map(|mut input| input.write_all(sql.as_bytes())));
        child.wait_with_output()
    });
    let output = output.map_err(ServerError::of(program.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ServerError::new(format!("psql, {}: {}\n{sql}", output.status, said.trim_end())))
}

/// The newest psql of an installation; else that of `PATH`, which is often a script that looks for one, and slower.
fn find() -> Result<PathBuf, ServerError> {
    let versions = PostgresVersion::installed();
    let installed = versions.iter().rev().map(|version| version.program("psql"));
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join("psql")).collect::<Vec<_>>();
    let found = installed.chain(in_path).find(|program| program.is_file());
    found.ok_or_else(|| ServerError::new("psql is not installed (Debian: postgresql-client)"))
}
