//! The command line.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use argus_testing::fuzz::{TARGETS, Target};

const HELP: &str = "\
Feeds any bytes to the parsers and to the engine, and checks what they promise about them

Usage: cargo xtask fuzz [OPTIONS] [TARGET]...

Arguments:
  [TARGET]...            The targets to run [default: all]; --list prints them

Options:
      --seconds <N>      Time for all targets together [default: 60]
      --processes <N>    Processes at once [default: one per CPU]
      --plain            Change inputs blindly, even if cargo-fuzz is installed
      --input <FILE>     Run one target with one input, for example one that was saved
      --list             Print all targets
  -h, --help             This text

The target `frames` is a test of argus-host, which `cargo xtask fuzz` starts with all others or by its name.

With cargo-fuzz (`cargo install cargo-fuzz --locked`) and a compiler for C++, libFuzzer looks for inputs that reach new
code. Otherwise seeds are changed at random. Both need nothing but the stable compiler.

An input that fails is shortened and saved in target/fuzz/failures/, and later runs begin with it; that of `frames` is
printed. The exit code is 0 if all targets held, 1 if not, and 2 for a wrong command line.
";

/// What to do.
pub(crate) enum Task {
    /// Print a text.
    Print(String),
    /// Look for inputs that fail.
    Hunt(Plan),
    /// Be one of the processes of a hunt.
    Work(Work),
    /// Run a target once.
    Repeat { target: &'static Target, input: PathBuf },
}

/// A hunt.
pub(crate) struct Plan {
    pub(crate) targets: Vec<&'static Target>,
    /// For all targets together.
    pub(crate) time: Duration,
    pub(crate) processes: usize,
    /// The program of libFuzzer, if it was built.
    pub(crate) libfuzzer: Option<PathBuf>,
}

/// The work of one process of a hunt.
pub(crate) struct Work {
    pub(crate) target: &'static Target,
    pub(crate) time: Duration,
    /// The file for the input that is being run.
    pub(crate) slot: PathBuf,
}

impl Task {
    /// Parses the command line of this process.
    pub(crate) fn from_env() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut targets = Vec::new();
        let mut seconds = 60;
        let mut processes = thread::available_parallelism().map_or(1, NonZero::get);
        let (mut slot, mut libfuzzer, mut input) = (None, None, None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "-h" | "--help" => return Ok(Self::Print(HELP.to_owned())),
                "--list" => return Ok(Self::Print(list())),
                "--seconds" => seconds = number(&argument, &value()?)?,
                "--processes" => processes = number(&argument, &value()?)?,
                "--input" => input = Some(PathBuf::from(value()?)),
                // xtask decides this one.
                "--plain" => {}
                // These two are for the processes of a hunt and for xtask, and are in no help.
                "--slot" => slot = Some(PathBuf::from(value()?)),
                "--libfuzzer" => libfuzzer = Some(PathBuf::from(value()?)),
                option if option.starts_with('-') => return Err(format!("unknown option {option:?}")),
                name => {
                    let target = Target::named(name).ok_or_else(|| format!("unknown target {name:?}; try --list"))?;
                    targets.push(target);
                }
            }
        }
        if seconds == 0 || processes == 0 {
            return Err("--seconds and --processes are at least 1".to_owned());
        }
        let time = Duration::from_secs(seconds);
        match (input, slot, targets.as_slice()) {
            (Some(input), None, [target]) => Ok(Self::Repeat { target, input }),
            (Some(_), _, _) => Err("--input needs exactly one target".to_owned()),
            (None, Some(slot), [target]) => Ok(Self::Work(Work { target, time, slot })),
            (None, Some(_), _) => Err("--slot needs exactly one target".to_owned()),
            (None, None, []) => Ok(Self::Hunt(Plan { targets: TARGETS.iter().collect(), time, processes, libfuzzer })),
            (None, None, _) => Ok(Self::Hunt(Plan { targets, time, processes, libfuzzer })),
        }
    }
}

fn list() -> String {
    TARGETS.iter().map(|Target { name, about, .. }| format!("{name:<10}{about}\n")).collect()
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option} needs a number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, String> {
        Task::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_arguments_all_targets_run() {
        assert!(matches!(parse(""), Ok(Task::Hunt(plan)) if plan.targets.len() == TARGETS.len()));
        assert!(matches!(parse("time --seconds 5 head"), Ok(Task::Hunt(plan)) if plan.targets.len() == 2));
        assert!(matches!(parse("--input file time"), Ok(Task::Repeat { target, .. }) if target.name == "time"));
        assert!(matches!(parse("--list"), Ok(Task::Print(text)) if text.lines().count() == TARGETS.len()));
    }

    #[test]
    fn invalid_arguments_are_named() {
        for (line, named) in [
            ("tmie", "tmie"),
            ("--second 5", "--second"),
            ("--seconds five", "five"),
            ("--seconds 0", "--seconds"),
            ("--seconds", "--seconds"),
            ("--input file", "--input"),
            ("--input file time head", "--input"),
        ] {
            assert!(parse(line).is_err_and(|error| error.contains(named)), "{line}");
        }
    }
}
