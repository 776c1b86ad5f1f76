//! `argus-tokio`: Argus Events on Tokio and warp.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    argus_host::process::run("argus-tokio", argus_tokio::server::serve)
}
