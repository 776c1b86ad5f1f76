//! The folder of a repository on disk, and what others do to it. A repository in memory has none, and keeps these promises by that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::case::{Case, cases};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["folder";
    "POST /events": [
        a_folder_that_is_removed_fails_the_store, a_folder_that_is_moved_fails_the_store,
        a_log_that_is_replaced_fails_the_store, files_are_for_their_owner_alone, a_folder_of_others_is_refused,
    ],
];

const EVENT: &str = r#"{"event_type":"folder","timestamp":0,"payload":null}"#;

/// Does something to the folder of a server, by which it has to fail: nothing is acknowledged any more, and what was can be read.
fn fails_by(ctx: &Context<'_>, deed: impl Fn(&Path) -> std::io::Result<()>) -> Outcome {
    for durability in ["sync", "os"] {
        let server = ctx.start(&[("--durability", durability)])?;
        server.submit(EVENT)?.expect(201)?;
        let Some(folder) = server.folder() else { return Ok(()) };
        deed(folder).map_err(|error| Failure::unmet(format!("{} to be ours: {error}", folder.display())))?;
        for _ in 0..2 {
            let problem = server.submit(EVENT)?.problem(503)?;
            check_eq!(problem["type"], "/problems/storage-failed", "the problem under --durability {durability}");
        }
        server.get("/health/ready")?.expect(503)?;
        server.get("/health/live")?.expect(200)?;
        check_eq!(server.find("")?.len(), 1, "events that can be read");
        check!(server.log().contains("removed, moved or replaced"), "the reason in the log, not {}", server.log());
    }
    Ok(())
}

fn a_folder_that_is_removed_fails_the_store(ctx: &Context<'_>) -> Outcome {
    fails_by(ctx, |folder| fs::remove_dir_all(folder))
}

fn a_folder_that_is_moved_fails_the_store(ctx: &Context<'_>) -> Outcome {
    let away = TempDir::new().map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    fails_by(ctx, |folder| fs::rename(folder, away.path().join(folder.file_name().unwrap_or_default())))
}

fn a_log_that_is_replaced_fails_the_store(ctx: &Context<'_>) -> Outcome {
    fails_by(ctx, |folder| {
        for entry in fs::read_dir(folder.join("log"))? {
            let path = entry?.path();
            let copy = folder.join("copy");
            fs::copy(&path, &copy)?;
            fs::rename(copy, path)?;
        }
        Ok(())
    })
}

fn files_are_for_their_owner_alone(ctx: &Context<'_>) -> Outcome {
    let permissive = ["sh", "-c", "umask 000; exec \"$0\" \"$@\""].map(str::to_owned);
    let server = ctx.start_in(&permissive, &[])?;
    server.submit(EVENT)?.expect(201)?;
    let Some(folder) = server.folder() else { return Ok(()) };
    let parts =
        all_below(folder).map_err(|error| Failure::unmet(format!("{} to be listed: {error}", folder.display())))?;
    check!(parts.len() > 5, "a folder with files, not {parts:?}");
    for path in parts {
        let data = fs::metadata(&path).map_err(|error| Failure::unmet(format!("{}: {error}", path.display())))?;
        let expected = if data.is_dir() { 0o700 } else { 0o600 };
        check_eq!(data.permissions().mode() & 0o777, expected, "the mode of {}", path.display());
    }
    Ok(())
}

/// Everything below a folder.
fn all_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(all_below(&path)?);
        }
        all.push(path);
    }
    Ok(all)
}

fn a_folder_of_others_is_refused(ctx: &Context<'_>) -> Outcome {
    if ctx.empty()?.folder().is_none() {
        return Ok(());
    }
    let made = TempDir::new().and_then(|root| {
        fs::create_dir(root.path().join("lost+found"))?;
        fs::write(root.path().join("thesis.tex"), "")?;
        Ok(root)
    });
    let root = made.map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    let repository = format!("disk:{}", root.path().display());
    let exit = ctx.run_to_exit(&["--endpoint", "127.0.0.1:0", "--repository", &repository])?;
    check_eq!(exit.code, Some(1), "the exit code on a folder of others");
    check!(
        exit.stderr.contains("thesis.tex is no part of a repository"),
        "one of the files named, not {}",
        exit.stderr
    );
    check_eq!(fs::read_dir(root.path()).map_or(0, Iterator::count), 2, "files in that folder");
    Ok(())
}
