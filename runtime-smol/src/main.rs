//! `argus-smol`: Argus Events on smol and tide.

use std::process::ExitCode;

use argus_smol::runtime::Workers;
use argus_smol::server;

fn main() -> ExitCode {
    argus_host::process::run("argus-smol", Workers::start, server::serve)
}
