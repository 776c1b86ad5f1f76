//! `argus-tokio`: Argus Events on Tokio and warp.

use std::process::ExitCode;

fn main() -> ExitCode {
    argus_host::process::run("argus-tokio", argus_tokio::server::serve)
}
