//! Where the programs under test are, and how they are built.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use argus_servers::{Absent, PROGRAM_FEATURES, TestMongo, TestPostgres};

use crate::failure::Failure;
use crate::launcher::{BinaryLauncher, Repository};
use crate::subjects::{RepositoryKind, SUBJECTS, Subject};

/// The environment variable with the folder of the programs under test. They are used as they are, and not built.
pub const BIN_DIR_VARIABLE: &str = "ARGUS_BIN_DIR";

/// The program that writes the sample stream of the README.
pub(crate) const XTASK: &str = "xtask";

/// The folder of the programs under test: [`BIN_DIR_VARIABLE`], or the one into which cargo has built this program.
///
/// # Errors
///
/// A message if this program's own path is unknown.
pub fn folder() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os(BIN_DIR_VARIABLE) {
        return Ok(PathBuf::from(folder));
    }
    profile_folder()
}

/// The folder of the profile into which cargo has built this program.
///
/// # Errors
///
/// A message if this program's own path is unknown.
pub(crate) fn profile_folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find the path of this program: {error}"))?;
    let folder = program.parent().ok_or("this program is in no folder")?;
    // cargo puts programs into the profile's folder, and tests into `deps` below it.
    let folder = if folder.file_name() == Some(OsStr::new("deps")) { folder.parent() } else { Some(folder) };
    folder.map(Path::to_owned).ok_or_else(|| "this program is in no folder of a cargo profile".to_owned())
}

/// The command that builds all programs under test, and xtask, into `folder`.
#[must_use]
pub fn build_command(folder: &Path) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = vec![cargo, "build".to_owned(), "--bins".to_owned()];
    let mut packages: Vec<&str> = SUBJECTS.iter().map(|subject| subject.package).collect();
    packages.dedup();
    packages.push(XTASK);
    command.extend(PROGRAM_FEATURES.iter().map(|feature| format!("--features={feature}")));
    for package in packages {
        command.extend(["-p".to_owned(), package.to_owned()]);
    }
    // A profile's folder has the name of the profile, except that of `dev`, which is `debug`.
    match folder.file_name().and_then(OsStr::to_str) {
        None | Some("debug") => {}
        Some(profile) => command.extend(["--profile".to_owned(), profile.to_owned()]),
    }
    if let Some(target) = folder.parent() {
        command.extend(["--target-dir".to_owned(), target.display().to_string()]);
    }
    command
}

/// Builds the programs in `folder`, so that no outdated one is tested. Does nothing if [`BIN_DIR_VARIABLE`] is set.
///
/// # Errors
///
/// A message if the build fails.
pub fn build(folder: &Path) -> Result<(), String> {
    if std::env::var_os(BIN_DIR_VARIABLE).is_some() {
        return Ok(());
    }
    let command = build_command(folder);
    let (program, arguments) = command.split_first().ok_or("no command to build with")?;
    eprintln!("argus-conformance: building the programs under test: {}", command.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", command.join(" "))) }
}

/// A launcher for a subject's program in `folder`. One with a database uses the one that tests share, or starts a
/// server for all that it launches.
///
/// # Errors
///
/// [`Failure::Unmet`] if the program does not exist, with the command that builds it, or if the database's server does
/// not start. [`Failure::Skipped`] if that server is not installed.
pub fn launcher(subject: &Subject, folder: &Path) -> Result<BinaryLauncher, Failure> {
    let binary = program(subject, folder)?;
    Ok(BinaryLauncher { binary, repository: repository(subject.repository)?, wrapper: Vec::new() })
}

/// The path of a subject's program in `folder`.
///
/// # Errors
///
/// [`Failure::Unmet`] if it does not exist, with the command that builds it.
pub fn program(subject: &Subject, folder: &Path) -> Result<PathBuf, Failure> {
    let program = folder.join(subject.binary);
    if program.is_file() {
        return Ok(program);
    }
    let command = build_command(folder).join(" ");
    Err(Failure::unmet(format!("the program {}; `{command}` builds it", program.display())))
}

/// What a launcher gives its servers as a repository of this kind.
fn repository(kind: RepositoryKind) -> Result<Repository, Failure> {
    match kind {
        RepositoryKind::Memory => Ok(Repository::Same("memory:".to_owned())),
        RepositoryKind::Disk => Ok(Repository::Folders),
        RepositoryKind::Postgres => match TestPostgres::find() {
            Ok(database) => Ok(Repository::Schemas(Arc::new(database))),
            Err(Absent::NotInstalled(reason)) => Err(Failure::skipped(reason)),
            Err(Absent::Failed(error)) => Err(Failure::unmet(format!("a server of PostgreSQL: {error}"))),
        },
        RepositoryKind::Mongodb => match TestMongo::find() {
            Ok(server) => Ok(Repository::Databases(Arc::new(server))),
            Err(Absent::NotInstalled(reason)) => Err(Failure::skipped(reason)),
            Err(Absent::Failed(error)) => Err(Failure::unmet(format!("a server of MongoDB: {error}"))),
        },
    }
}
