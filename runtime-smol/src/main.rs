//! `argus-smol`: Argus Events on smol and tide.

use std::process::ExitCode;

fn main() -> ExitCode {
    argus_host::process::run("argus-smol", argus_smol::server::serve)
}
