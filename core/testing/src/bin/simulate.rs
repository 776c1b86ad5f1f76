//! Runs simulations on all CPUs until one finds a broken promise: what `cargo xtask simulate` starts.
//!
//! ```sh
//! cargo run --release -p argus-core --features testing --example simulate -- --seeds 10000
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

use argus_testing::{Canary, Failure, Fault, Faults, Options, Phase, Summary, simulate, trace};

/// A canary that is alive after so many runs will not be found.
const CANARY_RUNS: u64 = 10_000;

/// So many lines of a trace are shown, unless all of it is wanted.
const TRACE_LINES: usize = 40;

const HELP: &str = "\
Lets the engine live through faults that a seed draws, and sees whether it keeps its promises

Usage: simulate [OPTIONS]

Options:
      --seeds <N>        So many runs [default: 1000, or 1 with --seed]
      --seed <S>         The seed of the first run; the others have the numbers behind it [default: a random one]
      --threads <T>      Threads [default: one a CPU]
      --faults <LIST>    Classes of faults that may be drawn: names with commas between them, `all` or `none`
      --crash-at <C:P>   Let the power fail at call C of the medium besides; P is before, during or after
      --canary <NAME>    Build this bug in, and fail if 10,000 runs do not find it; --seeds gives another number
      --canaries         The same for each bug, one after the other
      --trace            Print all that happens in the first run, and make no other
      --list             Print the names of all classes of faults and of all canaries
  -h, --help             This text

The exit code is 0 if all promises were kept (or each canary was found), 1 if not, and 2 for a wrong command line.
";

/// What the command line asks for.
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
        // All of them, also behind one that was not found.
        Canary::ALL.into_iter().filter(|canary| !plan.hunt(*canary)).count() == 0
    } else if let Some(canary) = plan.options.canary.filter(|_| plan.seeds.is_some() || plan.seed.is_none()) {
        plan.hunt(canary)
    } else if plan.trace {
        plan.print_trace();
        true
    } else {
        plan.prove()
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
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "-h" | "--help" => {
                    print!("{HELP}");
                    return Ok(None);
                }
                "--list" => {
                    println!("faults:     {}", Fault::ALL.map(Fault::name).join(" "));
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
                    let canary = Canary::parse(&name).ok_or_else(|| format!("there is no canary {name:?}"))?;
                    plan.options.canary = Some(canary);
                }
                "--canaries" => plan.canaries = true,
                "--trace" => plan.trace = true,
                unknown => return Err(format!("there is no option {unknown:?}")),
            }
        }
        Ok(Some(plan))
    }

    fn base(&self) -> u64 {
        // Keys of a fresh hash table are the only chance that the standard library gives away. 48 bits are easier to
        // copy.
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16)
    }

    /// Runs seeds, and says whether every promise was kept.
    fn prove(&self) -> bool {
        let (base, options) = (self.base(), self.options);
        let seeds = self.seeds.unwrap_or(if self.seed.is_some() { 1 } else { 1_000 });
        println!("simulate: {seeds} seeds from {base} on, {} threads, faults: {}", self.threads, options.faults);
        let (summary, failure, took) = run(base, seeds, self.threads, options);
        let rate = summary.runs as f64 / took.as_secs_f64();
        println!("{summary}");
        println!("{:.1} s, {rate:.0} seeds a second", took.as_secs_f64());
        let Some(failure) = failure else {
            println!("every promise was kept");
            return true;
        };
        println!("\na promise was broken: {}", failure.what);
        let shown = failure.trace.len().saturating_sub(TRACE_LINES);
        println!("the last steps ({shown} lines before them: --trace):");
        for line in failure.trace.iter().skip(shown) {
            println!("  {line}");
        }
        println!("\nto repeat it: cargo xtask simulate {}", failure.arguments());
        false
    }

    /// Runs seeds with a bug, and says whether it was found.
    fn hunt(&self, canary: Canary) -> bool {
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
                println!("{name}: ALIVE after {} runs from seed {base} on", summary.runs);
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

/// Runs seeds on some threads until one fails.
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
                    // Of several at once the first by number, so that one thread and many report the same.
                    if found.1.as_ref().is_none_or(|other| failure.seed < other.seed) {
                        found.1 = Some(failure);
                    }
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    // Panics are caught, and told with the seed; the default message would come without it, and twice.
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

/// One run. A panic is a failure like any other.
fn one(seed: u64, options: Options) -> Result<Summary, Failure> {
    catch_unwind(AssertUnwindSafe(|| simulate(seed, options))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(Failure { seed, options, what: format!("a panic: {message}"), trace: Vec::new() })
    })
}

/// A call of the medium and when in it.
fn call(text: &str) -> Result<(u64, Phase), String> {
    let parsed = text.split_once(':').and_then(|(call, name)| {
        Some((call.parse().ok()?, Phase::ALL.into_iter().find(|phase| phase.name() == name)?))
    });
    parsed.ok_or_else(|| format!("--crash-at wants a call and when in it, such as 12:during, not {text:?}"))
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option} wants a number, not {text:?}"))
}
