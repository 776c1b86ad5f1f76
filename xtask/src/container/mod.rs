//! The conformance suite with a container for each server that a case starts.

mod engine;
mod image;
// The suite removes containers by the same rule.
#[path = "../../../conformance/src/launcher/owner.rs"]
mod owner;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    apt,
    conformance::binaries_directory,
    flags::{ConformanceOptions, ContainerOptions},
    steps::Outcome,
    workspace::root,
};
use engine::Engine;
use image::Recipe;

/// The runtimes that have an image.
const RUNTIMES: [&str; 2] = ["tokio", "smol"];

/// The packages of Debian with an engine, what it needs to publish ports, and what makes an image without a registry.
const PACKAGES: [&str; 6] = ["podman", "runc", "netavark", "aardvark-dns", "iptables", "debootstrap"];

/// The cases of the smoke test: those about the process and its files, for which a container makes a difference.
const SMOKE_FILTERS: [&str; 3] = ["lifecycle::", "health::", "durability::"];

/// An engine and the images to test.
#[derive(Debug)]
struct Prepared {
    engine: Engine,
    /// The name of a runtime, and the id of its image, which is removed when this is dropped.
    images: Vec<(&'static str, String)>,
}

/// Builds the images, and runs the suite on them. Returns whether it passed.
///
/// # Errors
///
/// There is no engine, or an image cannot be built.
pub(crate) fn run(options: &ConformanceOptions, container: &ContainerOptions) -> Result<bool> {
    let binaries = binaries_directory()?;
    let runtime = options.runtime.as_deref();
    let prepared = prepare(container, runtime, &binaries)
        .context("NOTHING WAS TESTED IN CONTAINERS; docs/deployment.md says what they need")?;
    let mut arguments = Vec::new();
    for (flag, value) in [("--repository", &options.repository), ("--filter", &options.filter)] {
        if let Some(value) = value {
            arguments.extend([flag, value]);
        }
    }
    prepared.run_suite(&binaries, &arguments)
}

/// Runs some twenty cases on repositories on disk. What this machine does not have is installed if that is possible;
/// otherwise the test is skipped.
///
/// # Errors
///
/// A case failed, or an image cannot be built although there is an engine.
pub(crate) fn smoke() -> Result<Outcome> {
    let binaries = binaries_directory()?;
    let container = ContainerOptions { debootstrap: true, prebuilt: true, ..ContainerOptions::default() };
    let (mut engine, base) = match install().and_then(|()| base(&container)) {
        Ok(found) => found,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    if let Err(error) = engine.adapt(&base) {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    let prepared = Prepared::build(engine, &base, &container, None, &binaries)?;
    let mut arguments = vec!["--repository", "disk"];
    arguments.extend(SMOKE_FILTERS.iter().flat_map(|filter| ["--filter", filter]));
    ensure!(prepared.run_suite(&binaries, &arguments)?, "a case failed in a container");
    Ok(Outcome::Done)
}

/// Installs an engine if there is none. Without being root it would need more than packages.
fn install() -> Result<()> {
    let is_there = |program: &str, argument: &str| {
        let run = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    if is_there("podman", "--version") && is_there("debootstrap", "--version") {
        return Ok(());
    }
    ensure!(apt::is_root()?, "podman or debootstrap is missing, and only root can install and use them here");
    apt::install(&PACKAGES).context("podman or debootstrap is missing and cannot be installed")
}

fn prepare(container: &ContainerOptions, runtime: Option<&str>, binaries: &Path) -> Result<Prepared> {
    let (mut engine, base) = base(container)?;
    if !engine.has_image(&base) {
        engine.run(&["pull", &base])?;
    }
    engine.adapt(&base)?;
    Prepared::build(engine, &base, container, runtime, binaries)
}

/// An engine, and the image below those of the servers.
fn base(container: &ContainerOptions) -> Result<(Engine, String)> {
    let engine = Engine::find(container.engine.as_deref())?;
    let base = match (&container.base_image, container.debootstrap) {
        (Some(image), _) => image.clone(),
        (None, true) => image::debootstrap(&engine)?,
        (None, false) => "docker.io/library/debian:bookworm-slim".to_owned(),
    };
    Ok((engine, base))
}

impl Prepared {
    fn build(
        engine: Engine,
        base: &str,
        container: &ContainerOptions,
        runtime: Option<&str>,
        binaries: &Path,
    ) -> Result<Self> {
        if container.prebuilt {
            crate::conformance::build()?;
        } else {
            // Only the suite itself.
            crate::conformance::build_suite()?;
        }
        let recipe = Recipe {
            base_image: Some(base),
            build_image: container.build_image.as_deref(),
            binaries: container.prebuilt.then_some(binaries),
        };
        let wanted = RUNTIMES.into_iter().filter(|name| runtime.is_none_or(|runtime| runtime == *name));
        image::remove_left_over(&engine);
        let mut prepared = Self { engine, images: Vec::new() };
        for runtime in wanted {
            let image = image::build(&prepared.engine, runtime, &recipe)?;
            prepared.images.push((runtime, image));
        }
        let Self { engine, images } = &mut prepared;
        let (_, first) = images.first().context("there are images of the runtimes tokio and smol only")?;
        engine.choose_network(first)?;
        Ok(prepared)
    }

    /// Runs the suite, which removes its containers however it ends.
    fn run_suite(&self, binaries: &Path, arguments: &[&str]) -> Result<bool> {
        let mut suite = Command::new(binaries.join("argus-conformance"));
        suite.current_dir(root()).args(["--container", &self.engine.program]);
        for (flag, words) in [("--engine-option", &self.engine.options), ("--run-option", &self.engine.limits)] {
            suite.args(words.iter().map(|word| format!("{flag}={word}")));
        }
        if self.engine.host_network {
            suite.arg("--host-network");
        }
        suite.args(self.images.iter().map(|(runtime, image)| format!("--image={runtime}={image}")));
        let status = suite.args(arguments).status().context("cannot start argus-conformance")?;
        Ok(status.success())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for (_, image) in &self.images {
            image::remove(&self.engine, image);
        }
    }
}
