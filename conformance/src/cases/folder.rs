//! The folder of a repository on disk: other programs change it, or its permissions. A repository in memory has no
//! folder, so these cases pass.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::case::{Case, cases};
use crate::client::patience;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["folder";
    "POST /events": [
        a_folder_that_is_removed_fails_the_store, a_folder_that_is_moved_fails_the_store,
        a_log_that_is_replaced_fails_the_store, writes_resume_when_a_missing_permission_returns,
        a_folder_that_cannot_be_written_is_refused_at_the_start, files_are_private_to_their_owner,
        a_folder_with_foreign_files_is_refused, a_folder_in_use_is_refused_with_the_process,
        a_damaged_folder_is_refused_with_the_way_to_salvage,
    ],
];

const EVENT: &str = r#"{"event_type":"folder","timestamp":0,"payload":null}"#;

/// Changes the folder of a running server so that the store must fail: nothing more is acknowledged, and acknowledged
/// events can still be read.
fn fails_after(ctx: &Context<'_>, change: impl Fn(&Path) -> std::io::Result<()>) -> Outcome {
    for durability in ["sync", "os"] {
        let server = ctx.start(&[("--durability", durability)])?;
        server.submit(EVENT)?.expect(201)?;
        let Some(folder) = server.folder() else { return Ok(()) };
        change(folder).map_err(|error| Failure::unmet(format!("a change of {}: {error}", folder.display())))?;
        for _ in 0..2 {
            let problem = server.submit(EVENT)?.problem(503)?;
            check_eq!(problem["type"], "/problems/storage-failed", "the problem under --durability {durability}");
            expect_no_path(&problem, folder)?;
        }
        let ready = server.get("/health/ready")?;
        ready.expect(503)?;
        expect_no_path(&ready.json()?, folder)?;
        server.get("/health/live")?.expect(200)?;
        check_eq!(server.find("")?.len(), 1, "events that can be read");
        expect_logged(&server, "removed, moved or replaced")?;
    }
    Ok(())
}

/// Callers must not learn the folder of the server.
fn expect_no_path(body: &Value, folder: &Path) -> Outcome {
    check!(!body.to_string().contains(&*folder.to_string_lossy()), "an answer without a path, not {body}");
    Ok(())
}

/// Waits until the server has logged this. A log line may arrive later than the answer.
fn expect_logged(server: &Server, text: &str) -> Outcome {
    let deadline = Instant::now() + patience();
    while !server.log().contains(text) {
        check!(Instant::now() < deadline, "{text:?} in the log, not {}", server.log());
        server.get("/health/live")?.expect(200)?;
    }
    Ok(())
}

fn a_folder_that_is_removed_fails_the_store(ctx: &Context<'_>) -> Outcome {
    fails_after(ctx, |folder| fs::remove_dir_all(folder))
}

fn a_folder_that_is_moved_fails_the_store(ctx: &Context<'_>) -> Outcome {
    let away = TempDir::new().map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    fails_after(ctx, |folder| fs::rename(folder, away.path().join(folder.file_name().unwrap_or_default())))
}

fn a_log_that_is_replaced_fails_the_store(ctx: &Context<'_>) -> Outcome {
    fails_after(ctx, |folder| {
        for entry in fs::read_dir(folder.join("log"))? {
            let path = entry?.path();
            let copy = folder.join("copy");
            fs::copy(&path, &copy)?;
            fs::rename(copy, path)?;
        }
        Ok(())
    })
}

/// A wrapper that takes root's right to ignore permissions from the subject.
fn bound_by_permissions() -> [String; 3] {
    let script =
        r#"[ "$(id -u)" = 0 ] || exec "$0" "$@"; exec setpriv --bounding-set=-dac_override,-dac_read_search "$0" "$@""#;
    ["sh", "-c", script].map(str::to_owned)
}

fn set_mode(path: &Path, mode: u32) -> Outcome {
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set.map_err(|error| Failure::unmet(format!("permissions for {}: {error}", path.display())))
}

fn writes_resume_when_a_missing_permission_returns(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start_in(&bound_by_permissions(), &[])?;
    server.submit(EVENT)?.expect(201)?;
    let Some(folder) = server.folder() else { return Ok(()) };
    let parts = ["log", "blobs"].map(|name| folder.join(name));
    for part in &parts {
        set_mode(part, 0o500)?;
    }
    // More than fits into one log file.
    let event = format!(r#"{{"event_type":"long","timestamp":0,"payload":"{}"}}"#, "x".repeat(200_000));
    let body = vec![event; 40].join("\n");
    let mut stored = 1;
    let refusal = loop {
        let response = server.submit_lines(body.as_str())?;
        if response.status() != 201 {
            break response;
        }
        stored += 40;
        check!(stored < 400, "a refusal when no file can be created");
    };
    let problem = refusal.problem(503)?;
    check_eq!(problem["type"], "/problems/storage-unavailable", "the problem without a permission");
    check!(problem["detail"].to_string().contains("Permission denied"), "the reason in the detail, not {problem}");
    expect_no_path(&problem, folder)?;
    check!(refusal.header("retry-after").is_some(), "a Retry-After");
    server.get("/health/ready")?.expect(200)?;
    for part in &parts {
        set_mode(part, 0o700)?;
    }
    server.submit_lines(body.as_str())?.expect(201)?;
    check_eq!(server.find("")?.len(), stored + 40, "events stored: exactly those acknowledged");
    Ok(())
}

fn a_folder_that_cannot_be_written_is_refused_at_the_start(ctx: &Context<'_>) -> Outcome {
    for part in ["log", "blobs"] {
        let mut server = ctx.empty()?;
        let Some(folder) = server.folder().map(Path::to_owned) else { return Ok(()) };
        server.signal(Signal::Terminate)?;
        server.wait()?;
        set_mode(&folder.join(part), 0o500)?;
        let repository = format!("disk:{}", folder.display());
        let exit = ctx.run_in(&bound_by_permissions(), &["--endpoint", "127.0.0.1:0", "--repository", &repository])?;
        check_eq!(exit.code, Some(1), "the exit code if {part} cannot be written");
        let probe = format!("cannot create {}/probe", folder.join(part).display());
        check!(exit.stderr.contains(&probe), "a message with {probe:?}, not {}", exit.stderr);
        check!(exit.stderr.contains("Permission denied"), "the reason, not {}", exit.stderr);
        set_mode(&folder.join(part), 0o700)?;
    }
    Ok(())
}

fn files_are_private_to_their_owner(ctx: &Context<'_>) -> Outcome {
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

/// All files and folders below a folder.
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

fn a_folder_with_foreign_files_is_refused(ctx: &Context<'_>) -> Outcome {
    if ctx.empty()?.folder().is_none() {
        return Ok(());
    }
    let made = TempDir::new().and_then(|root| {
        fs::create_dir(root.path().join("lost+found"))?;
        fs::write(root.path().join("thesis.tex"), "")?;
        Ok(root)
    });
    let root = made.map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    let path = root.path().display().to_string();
    for repository in [path.as_str(), &format!("disk:{path}"), "."] {
        let exit = ctx.run_in(&inside(root.path()), &["--endpoint", "127.0.0.1:0", "--repository", repository])?;
        check_eq!(exit.code, Some(1), "the exit code on a folder with foreign files, {repository}");
        let named = format!("{path}/thesis.tex is no part of a repository");
        check!(exit.stderr.contains(&named), "a message with {named:?} for {repository}, not {}", exit.stderr);
    }
    check_eq!(fs::read_dir(root.path()).map_or(0, Iterator::count), 2, "files in that folder");
    Ok(())
}

/// A wrapper that starts the subject in this folder.
fn inside(folder: &Path) -> [String; 3] {
    ["env".to_owned(), "--chdir".to_owned(), folder.display().to_string()]
}

fn a_folder_in_use_is_refused_with_the_process(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let (Some(folder), Some(process)) = (server.folder(), server.process()) else { return Ok(()) };
    for (arguments, advice) in [
        (&["--endpoint", "127.0.0.1:0", "--repository", "."][..], "choose another folder"),
        (&["check", "."], "check a snapshot of the folder"),
    ] {
        let message = format!("process {process} is using {}; stop it first, or {advice}", folder.display());
        let exit = ctx.run_in(&inside(folder), arguments)?;
        check_eq!(exit.code, Some(1), "the exit code of {arguments:?} on a folder in use");
        check!(exit.stderr.contains(&message), "a message with {message:?}, not {}", exit.stderr);
    }
    server.expect_alive()
}

fn a_damaged_folder_is_refused_with_the_way_to_salvage(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    let Some(folder) = server.folder().map(Path::to_owned) else { return Ok(()) };
    server.signal(Signal::Terminate)?;
    server.wait()?;
    let damaged = fs::write(folder.join("format"), "not a format");
    damaged.map_err(|error| Failure::unmet(format!("a change of {}: {error}", folder.display())))?;
    let exit = ctx.run_in(&inside(&folder), &["--endpoint", "127.0.0.1:0", "--repository", "."])?;
    check_eq!(exit.code, Some(1), "the exit code on a damaged folder");
    let program = ctx.run_to_exit(&["--version"])?.stdout;
    let program = program.split(' ').next().unwrap_or_default();
    let advice = format!("`{program} check {} --salvage NEW-PATH`", folder.display());
    check!(exit.stderr.contains(&advice), "a message with {advice}, not {}", exit.stderr);
    Ok(())
}
