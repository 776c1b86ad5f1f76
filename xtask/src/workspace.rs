//! The workspace: its root, and what cargo knows about it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The root of the workspace that xtask was built from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of xtask is in the root of the workspace")
}

/// A command of the cargo that runs xtask, in the root of the workspace, without standard input.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// The output of `cargo metadata`, dependencies included.
pub(crate) fn metadata() -> Result<Value> {
    let output = cargo(["metadata", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", output.status);
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

/// The folder for cargo's build output.
pub(crate) fn target_directory(metadata: &Value) -> Result<PathBuf> {
    let path = metadata.get("target_directory").and_then(Value::as_str);
    Ok(PathBuf::from(path.context("cargo metadata names no target directory")?))
}
