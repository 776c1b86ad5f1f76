//! `argus-tokio`: Argus Events on Tokio and warp.

use std::process::ExitCode;

use argus_tokio::runtime::Workers;
use argus_tokio::server;

fn main() -> ExitCode {
    argus_host::process::run("argus-tokio", Workers::start, server::serve)
}
