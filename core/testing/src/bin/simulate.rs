//! Runs simulations on all CPUs until one finds a broken promise. `cargo xtask simulate` starts it.
//!
//! ```sh
//! cargo run --release -p argus-testing -- --seeds 10000
//! ```

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{IsTerminal, Write};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argus_testing::{Canary, Failure, FaultClass, Faults, Options, Phase, Summary, simulate, trace};

/// A canary that survives this number of runs counts as not found.
const CANARY_RUNS: u64 = 10_000;

/// The number of lines of a trace that are printed without `--trace`.
const TRACE_LINES: usize = 40;

const HELP: &str = "\
Runs the engine on a simulated medium with faults, drawn from seeds, and checks that it keeps its promises

Usage: simulate [OPTIONS]

Options:
      --seeds <N>        Number of runs [default: 1000, or 1 with --seed]
      --seed <S>         Seed of the first run; the others use the numbers after it [default: a random one]
      --threads <T>      Threads [default: one per CPU]
      --faults <LIST>    Classes of faults to draw from: names separated by commas, `all` or `none`
      --crash-at <C:P>   Also cut the power at call C of the medium; P is before, during or after
      --canary <NAME>    Build in this bug, and fail if 10,000 runs do not find it; --seeds sets another number
      --canaries         The same for each bug in turn
      --trace            Print all steps of the first run, and run no other
      --list             Print the names of all classes of faults and all canaries
  -h, --help             This text

The exit code is 0 if all promises were kept (or each canary was found), 1 if not, and 2 for a wrong command line.
";

/// The parsed command line.
struct Plan {
    seeds: Option<u64>,
    seed: Option<u64>,
    threads: usize,
    options: Options,
    canaries: bool,
    trace: bool,
}

fn main() -> ExitCode {
    let plan = match Plan::parse(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    let passed = if plan.canaries {
        // Hunt all of them, even after one was not found.
        Canary::ALL.into_iter().filter(|canary| !plan.find_canary(*canary)).count() == 0
    } else if let Some(canary) = plan.options.canary.filter(|_| plan.seeds.is_some() || plan.seed.is_none()) {
        plan.find_canary(canary)
    } else if plan.trace {
        plan.print_trace();
        true
    } else {
        plan.run_seeds()
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Plan {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut plan = Self {
            seeds: None,
            seed: None,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            options: Options::default(),
            canaries: false,
            trace: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "-h" | "--help" => {
                    print!("{HELP}");
                    return Ok(None);
                }
                "--list" => {
                    println!("faults:     {}", FaultClass::ALL.map(FaultClass::name).join(" "));
                    println!("by default: {}", Options::default().faults);
                    println!("canaries:   {}", Canary::ALL.map(Canary::name).join(" "));
                    return Ok(None);
                }
                "--seeds" => plan.seeds = Some(number(&argument, &value()?)?),
                "--seed" => plan.seed = Some(number(&argument, &value()?)?),
                "--threads" => plan.threads = number(&argument, &value()?)?,
                "--faults" => plan.options.faults = Faults::parse(&value()?)?,
                "--crash-at" => plan.options.crash_at = Some(call(&value()?)?),
                "--canary" => {
                    let name = value()?;
                    let canary =
                        Canary::parse(&name).ok_or_else(|| format!("unknown canary {name:?}; `--list` prints all"))?;
                    plan.options.canary = Some(canary);
                }
                "--canaries" => plan.canaries = true,
                "--trace" => plan.trace = true,
                unknown => return Err(format!("unknown option {unknown:?}")),
            }
        }
        Ok(Some(plan))
    }

    fn base(&self) -> u64 {
        // The keys of a fresh hash table are the only randomness in the standard library. 48 bits are easier to copy.
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16)
    }

    /// Runs seeds; returns whether all promises were kept.
    fn run_seeds(&self) -> bool {
        let (base, options) = (self.base(), self.options);
        let seeds = self.seeds.unwrap_or(if self.seed.is_some() { 1 } else { 1_000 });
        println!("simulate: {seeds} seeds from {base}, {} threads, faults: {}", self.threads, options.faults);
        let (summary, failure, took) = run(base, seeds, self.threads, options);
        let rate = summary.runs as f64 / took.as_secs_f64();
        println!("{summary}");
        println!("{:.1} s, {rate:.0} seeds a second", took.as_secs_f64());
        let Some(failure) = failure else {
            println!("all promises were kept");
            return true;
        };
        println!("\na promise was broken: {}", failure.what);
        let shown = failure.trace.len().saturating_sub(TRACE_LINES);
        println!("the last steps (--trace prints {shown} lines before them):");
        for line in failure.trace.iter().skip(shown) {
            println!("  {line}");
        }
        println!("\nto repeat it: cargo xtask simulate {}", failure.arguments());
        false
    }

    /// Runs seeds with a deliberate bug; returns whether it was found.
    fn find_canary(&self, canary: Canary) -> bool {
        let (base, options) = (self.base(), Options { canary: Some(canary), ..self.options });
        let (summary, failure, took) = run(base, self.seeds.unwrap_or(CANARY_RUNS), self.threads, options);
        let name = canary.name();
        match failure {
            Some(failure) => {
                println!("{name}: found after {} runs in {:.1} s: {}", summary.runs, took.as_secs_f64(), failure.what);
                println!("  to repeat it: cargo xtask simulate {}", failure.arguments());
                true
            }
            None => {
                println!("{name}: NOT FOUND in {} runs from seed {base}", summary.runs);
                false
            }
        }
    }

    fn print_trace(&self) {
        let base = self.base();
        println!("seed {base}");
        for line in trace(base, self.options) {
            println!("  {line}");
        }
    }
}

/// Runs seeds on several threads until one fails.
fn run(base: u64, seeds: u64, threads: usize, options: Options) -> (Summary, Option<Failure>, Duration) {
    let started = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let found = Mutex::new((Summary::default(), None::<Failure>));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= seeds {
                break;
            }
            let outcome = one(base.wrapping_add(index), options);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(summary) => found.0 += summary,
                Err(failure) => {
                    found.0 += Summary { runs: 1, ..Summary::default() };
                    // Report the failure with the lowest seed, so that the number of threads does not matter.
                    if found.1.as_ref().is_none_or(|other| failure.seed < other.seed) {
                        found.1 = Some(failure);
                    }
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    // Panics are caught and reported with their seed. The default hook would print them without it as well.
    std::panic::set_hook(Box::new(|_| {}));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let is_terminal = std::io::stderr().is_terminal();
        let mut told = Instant::now();
        while is_terminal && !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::park_timeout(Duration::from_millis(50));
            if told.elapsed() > Duration::from_secs(1) {
                told = Instant::now();
                eprint!("\r{} of {seeds} seeds", next.load(Ordering::Relaxed).min(seeds));
                std::io::stderr().flush().unwrap_or_default();
            }
        }
        if is_terminal {
            eprint!("\r\x1b[K");
        }
    });
    drop(std::panic::take_hook());
    let (summary, failure) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    (summary, failure, started.elapsed())
}

/// Runs one seed. A panic counts as a failure.
fn one(seed: u64, options: Options) -> Result<Summary, Failure> {
    catch_unwind(AssertUnwindSafe(|| simulate(seed, options))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(Failure { seed, options, what: format!("a panic: {message}"), trace: Vec::new() })
    })
}

/// Parses a call of the medium and the phase in it.
fn call(text: &str) -> Result<(u64, Phase), String> {
    let parsed = text.split_once(':').and_then(|(call, name)| {
        Some((call.parse().ok()?, Phase::ALL.into_iter().find(|phase| phase.name() == name)?))
    });
    parsed.ok_or_else(|| format!("--crash-at needs a call and a phase, such as 12:during, not {text:?}"))
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option} needs a number, not {text:?}"))
}
