//! The entry point for development tasks: `cargo xtask <command>`, by the alias in `.cargo/config.toml`.
//!
//! Everything that a person or a CI runs on this repository is a command here, so that nothing depends on shell
//! scripts. `cargo xtask --help` lists the commands.

mod apt;
mod autobahn;
mod bench;
mod check;
mod conformance;
mod container;
mod crash;
mod databases;
mod flags;
mod fuzz;
mod readers;
mod sample;
mod simulate;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use flags::Command;

fn main() -> ExitCode {
    let command = match Command::from_env() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("xtask: {error}\nTry `cargo xtask --help`.");
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Help(text) => {
            print!("{text}");
            Ok(true)
        }
        Command::Test(options) => test::run(&options),
        Command::Check => check::run(),
        Command::Tidy => tidy::run(),
        Command::Conformance(options) => match &options.container {
            None => conformance::run(&options),
            Some(container) => container::run(&options, container),
        },
        Command::Crash(options) => crash::run(&options),
        Command::Autobahn => autobahn::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Sample(options) => sample::run(&options),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
