//! The images of the servers, and the image below them.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{engine::Engine, owner};
use crate::{
    steps,
    workspace::{metadata, root, target_directory},
};

/// The image that [`debootstrap`] makes, without its tag, which is the release of Debian.
const DEBIAN: &str = "localhost/argus-debian";

/// The label of all images of servers. Its value names the process that has built the image.
const LABEL: &str = "argus-conformance-image";

/// The longest time for an installation of Debian, in seconds.
const DEBOOTSTRAP_SECONDS: &str = "240";

/// How an image is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recipe<'a> {
    pub(super) base_image: Option<&'a str>,
    pub(super) build_image: Option<&'a str>,
    /// The folder of a program that is built already. Otherwise it is compiled within a container.
    pub(super) binaries: Option<&'a Path>,
}

/// Makes an image of the release of Debian that this machine has, so that programs built here run in it; returns its
/// name. If there is one already, it is used.
///
/// # Errors
///
/// `debootstrap` is missing or fails, for example because the packages cannot be downloaded.
pub(super) fn debootstrap(engine: &Engine) -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("cannot find out which system this is")?;
    let release = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let release = release.context("this is no Debian or Ubuntu: /etc/os-release has no VERSION_CODENAME")?;
    let image = format!("{DEBIAN}:{}", release.trim_matches('"'));
    if engine.has_image(&image) {
        return Ok(image);
    }
    let folder = tempfile::tempdir_in(target_directory(&metadata()?)?).context("cannot make a folder for Debian")?;
    let system = folder.path().join("system");
    let mut install = Command::new("timeout");
    install.args(["--kill-after", "10", DEBOOTSTRAP_SECONDS, "debootstrap", "--variant", "minbase", release]);
    // It prints a line for each package.
    let log = folder.path().join("log");
    install.arg(&system).stdin(Stdio::null()).stdout(fs::File::create(&log)?);
    steps::run(&mut install).with_context(|| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        format!("cannot install Debian into a folder: {}", log.lines().last().unwrap_or("no reason given"))
    })?;
    // The engine makes the devices of a container itself.
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(&system).args(["--exclude", "./dev/*", "--create", "."]).stdout(Stdio::piped());
    let mut tar = tar.spawn().context("cannot start tar")?;
    let packed = tar.stdout.take().context("tar has no output")?;
    let imported = steps::run(engine.command(&["import", "-", &image]).stdin(packed).stdout(Stdio::null()));
    ensure!(tar.wait().context("cannot wait for tar")?.success(), "tar has failed");
    imported.map(|()| image)
}

/// Builds the image of a runtime; returns its id. It has no name, which another checkout could use as well.
///
/// # Errors
///
/// The build fails, or an image that it needs cannot be pulled.
pub(super) fn build(engine: &Engine, runtime: &str, recipe: &Recipe<'_>) -> Result<String> {
    let folder = tempfile::tempdir().context("cannot make a folder for the program")?;
    let id = folder.path().join("id");
    let label = format!("{LABEL}={}", owner::this_process());
    let mut command = engine.command(&["build", "--label", &label, "--build-arg", &format!("RUNTIME={runtime}")]);
    command.arg("--iidfile").arg(&id);
    if engine.program.ends_with("podman") {
        // The other format has no health checks.
        command.args(["--format", "docker"]);
    }
    command.args(&engine.limits);
    for (name, value) in [("BASE_IMAGE", recipe.base_image), ("BUILD_IMAGE", recipe.build_image)] {
        if let Some(value) = value {
            command.args(["--build-arg", &format!("{name}={value}")]);
        }
    }
    if let Some(binaries) = recipe.binaries {
        let program = folder.path().join("program");
        fs::create_dir_all(program.join("data")).context("cannot make a folder for events")?;
        let binary = binaries.join(format!("argus-{runtime}"));
        fs::copy(&binary, program.join("argus")).with_context(|| format!("cannot copy {}", binary.display()))?;
        command.args(["--build-context", &format!("program={}", program.display())]);
    }
    steps::run(command.arg(root()))?;
    Ok(fs::read_to_string(&id).context("the engine does not tell the id of the image")?.trim().to_owned())
}

/// Removes images left behind by runs that were killed.
pub(super) fn remove_left_over(engine: &Engine) {
    let filter = format!("label={LABEL}");
    let listed = engine.output(&["images", "--quiet", "--no-trunc", "--filter", &filter]);
    let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    // An engine that lists nothing builds nothing either, and says so then.
    for id in listed.unwrap_or_default().lines() {
        let process = engine.output(&["image", "inspect", "--format", &format, id]).unwrap_or_default();
        if owner::has_ended(process.trim()) {
            remove(engine, id);
        }
    }
}

/// Removes an image. If that fails, the next run tries again.
pub(super) fn remove(engine: &Engine, image: &str) {
    if let Err(error) = engine.output(&["rmi", "--force", image]) {
        eprintln!("xtask: an image is left behind: {error:#}");
    }
}
