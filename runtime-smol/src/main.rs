//! `argus-smol`: Argus Events on smol and tide.

use std::process::ExitCode;

fn main() -> ExitCode {
    argus_host::lifecycle::run("smol", argus_smol::server::serve)
}
