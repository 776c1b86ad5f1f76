//! Runs fuzz targets on all CPUs, and saves and shortens what makes them fail. `cargo xtask fuzz` starts it.
//!
//! ```sh
//! cargo run --profile checked -p argus-testing --bin fuzz -- --seconds 60 document lines
//! ```

mod folder;
mod hunt;
mod plan;
mod worker;

use std::process::ExitCode;

use hunt::Hunter;
use plan::{Plan, Task};

fn main() -> ExitCode {
    let task = match Task::from_env() {
        Ok(task) => task,
        Err(error) => {
            eprintln!("fuzz: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    let outcome = match task {
        Task::Print(text) => {
            print!("{text}");
            Ok(true)
        }
        Task::Work(work) => worker::work(&work).map(|()| true),
        Task::Repeat { target, input } => worker::repeat(target, &input).map(|()| true),
        Task::Hunt(plan) => hunt(&plan),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs each target in turn; returns whether all of them held.
fn hunt(plan: &Plan) -> Result<bool, String> {
    let hunter = Hunter::new(plan)?;
    let how = if plan.libfuzzer.is_some() { "guided by libFuzzer" } else { "blind" };
    println!("fuzz: {} targets in {} s, {} processes, {how}", plan.targets.len(), plan.time.as_secs(), plan.processes);
    let mut failed = 0;
    for target in &plan.targets {
        failed += usize::from(!hunter.hunt(target)?);
    }
    println!("{} of {} targets held", plan.targets.len() - failed, plan.targets.len());
    Ok(failed == 0)
}
