//! Runs the conformance suite and prints a matrix of cases and subjects.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argus_conformance::case::Case;
use argus_conformance::contained;
use argus_conformance::failure::Failure;
use argus_conformance::launcher::{Engine, Launcher, UrlLauncher, remove_left_over_folders};
use argus_conformance::subjects::{RepositoryKind, SUBJECTS, Subject};
use argus_conformance::{binaries, cases, client, needs, subjects};
use lexopt::{Arg, ValueExt};

const HELP: &str = "\
Runs the cases of the wire contract against every runtime and repository.

Usage: argus-conformance [OPTIONS]

      --runtime NAME      Only this runtime: tokio, smol or minimal
      --repository NAME   Only this repository: memory, disk, postgres (in the database of ARGUS_TEST_POSTGRES, or on a
                          server that is started for it) or mongodb (likewise ARGUS_TEST_MONGODB; only if it is named)
      --url URL           A running server (http://HOST:PORT); no other is started
      --filter TEXT       Only cases whose group::name contains this; repeated: any of these
      --jobs COUNT        Cases that run at the same time [default: two per CPU; one with --repository mongodb]
      --list              List the cases and exit
      --needs             Print what this machine lacks and the cases that are skipped for it, a line each, and exit
  -h, --help              Print this

In containers, one for each server that a case starts:
      --container ENGINE  Start containers with this program: podman or docker
      --image NAME=IMAGE  The image of a runtime; only runtimes that have one are tested
      --engine-option OPTION  A word between the engine and each of its commands; may be repeated
      --run-option OPTION     A word after `run`; may be repeated
      --host-network      Use the network of this machine, and publish no port

Programs are taken from ARGUS_BIN_DIR; without it, they are built.
Exit codes: 0 none failed and some passed, 1 a case failed or none passed, 2 a bad argument.
";

/// How many of the slowest cells are listed below the matrix.
const SLOWEST_SHOWN: usize = 10;

#[derive(Debug, Default)]
struct Options {
    runtime: Option<String>,
    repository: Option<String>,
    url: Option<String>,
    filters: Vec<String>,
    containers: Option<contained::Options>,
    jobs: Option<usize>,
    list: bool,
    needs: bool,
    help: bool,
}

/// Tells why a case is not run; `None` if it is.
type Unsuited = Box<dyn Fn(&Case) -> Option<&'static str> + Sync>;

/// A column of the matrix. If its launcher could not be created, every case fails with the reason.
struct Column {
    name: String,
    launcher: Result<Box<dyn Launcher>, Failure>,
    /// Why a case is not run.
    unsuited: Unsuited,
}

/// A cell of the matrix.
struct Verdict {
    outcome: Result<(), Failure>,
    took: Duration,
}

fn main() -> ExitCode {
    let options = match parse(lexopt::Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("argus-conformance: {error} (--help lists the options)");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let is_wanted =
        |path: &str| options.filters.is_empty() || options.filters.iter().any(|filter| path.contains(filter.as_str()));
    let cases: Vec<&Case> = cases::all().filter(|case| is_wanted(&case.path())).collect();
    let list = match (options.list, options.needs) {
        (true, _) => {
            Some(cases.iter().map(|case| format!("{:72} {}\n", case.path(), case.section)).collect::<String>())
        }
        (false, true) => Some(needs_list()),
        (false, false) => None,
    };
    if let Some(list) = list {
        // The reader may have closed the pipe, for example `head`.
        let _ = std::io::stdout().write_all(list.as_bytes());
        return ExitCode::SUCCESS;
    }
    remove_left_over_folders();
    match columns(&options) {
        Ok((columns, _)) if columns.is_empty() || cases.is_empty() => {
            eprintln!("argus-conformance: no subject or no case matches the options; --list lists the cases");
            ExitCode::from(2)
        }
        Ok((columns, engine)) => run(&columns, &cases, jobs(&options), engine.as_deref()),
        Err(message) => {
            eprintln!("argus-conformance: {message}");
            ExitCode::from(2)
        }
    }
}

/// A line for each thing that this machine lacks, with the cases that need it.
fn needs_list() -> String {
    let line = |(what, cases): (&str, Vec<&Case>)| {
        let cases: Vec<String> = cases.iter().map(|case| case.path()).collect();
        format!("{what}: {}\n", cases.join(", "))
    };
    needs::all_missing().into_iter().map(line).collect()
}

fn parse(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("runtime") => options.runtime = Some(parser.value()?.string()?),
            Arg::Long("repository") => options.repository = Some(parser.value()?.string()?),
            Arg::Long("url") => options.url = Some(parser.value()?.string()?),
            Arg::Long("filter") => options.filters.push(parser.value()?.string()?),
            Arg::Long("container") => {
                options.containers.get_or_insert_default().engine.program = parser.value()?.string()?;
            }
            Arg::Long("image") => {
                let given = parser.value()?.string()?;
                let (runtime, image) = given.split_once('=').ok_or("--image: expected NAME=IMAGE")?;
                let images = &mut options.containers.get_or_insert_default().images;
                images.insert(runtime.to_owned(), image.to_owned());
            }
            Arg::Long("engine-option") => {
                options.containers.get_or_insert_default().engine.options.push(parser.value()?.string()?);
            }
            Arg::Long("run-option") => {
                options.containers.get_or_insert_default().engine.run_options.push(parser.value()?.string()?);
            }
            Arg::Long("host-network") => options.containers.get_or_insert_default().engine.host_network = true,
            Arg::Long("jobs") => options.jobs = Some(parser.value()?.parse()?),
            Arg::Long("list") => options.list = true,
            Arg::Long("needs") => options.needs = true,
            Arg::Long("help") | Arg::Short('h') => options.help = true,
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected()),
        }
    }
    if options.containers.as_ref().is_some_and(|containers| containers.engine.program.is_empty()) {
        return Err("the options of containers need --container ENGINE".into());
    }
    Ok(options)
}

/// The columns, and the engine of their containers if they have any.
fn columns(options: &Options) -> Result<(Vec<Column>, Option<Arc<Engine>>), String> {
    if let Some(url) = &options.url {
        let launcher = UrlLauncher::new(url)?;
        let column = Column { name: url.clone(), launcher: Ok(Box::new(launcher)), unsuited: Box::new(|_| None) };
        return Ok((vec![column], None));
    }
    let wanted = |choice: &Option<String>, name: &str| choice.as_ref().is_none_or(|choice| choice == name);
    if let Some(containers) = &options.containers {
        let (engine, launchers) = contained::launchers(containers.clone())?;
        let columns = launchers
            .into_iter()
            .filter(|(subject, _)| {
                wanted(&options.runtime, subject.runtime) && wanted(&options.repository, subject.repository.name())
            })
            .map(|(subject, launcher)| Column {
                name: name_of(subject),
                launcher: Ok(Box::new(launcher)),
                unsuited: Box::new(move |case| contained::unsuited(case).or_else(|| needs::unsuited(subject, case))),
            })
            .collect();
        return Ok((columns, Some(engine)));
    }
    let folder = binaries::folder()?;
    binaries::build(&folder)?;
    let subjects: Vec<&Subject> = match &options.repository {
        Some(name) => SUBJECTS.iter().filter(|subject| subject.repository.name() == name).collect(),
        None => subjects::usual().collect(),
    };
    client::wait_longer(subjects.iter().map(|subject| subject.repository.patience_factor()).max().unwrap_or(1));
    let columns = subjects
        .into_iter()
        .filter(|subject| wanted(&options.runtime, subject.runtime))
        .map(|subject| Column {
            name: name_of(subject),
            launcher: binaries::launcher(subject, &folder).map(|launcher| Box::new(launcher) as Box<dyn Launcher>),
            unsuited: Box::new(move |case| needs::unsuited(subject, case)),
        })
        .collect();
    Ok((columns, None))
}

fn name_of(subject: &Subject) -> String {
    format!("{}×{}", subject.runtime, subject.repository.name())
}

/// How many cases run at once. Most wait more than they compute, so there are more of them than processors. Over what
/// stands in for MongoDB they run one by one: large cases would slow it down until others time out.
fn jobs(options: &Options) -> usize {
    let one_by_one = options.repository.as_deref() == Some(RepositoryKind::Mongodb.name());
    let default = || if one_by_one { 1 } else { thread::available_parallelism().map_or(2, |count| 2 * count.get()) };
    options.jobs.unwrap_or_else(default).max(1)
}

fn run(columns: &[Column], cases: &[&Case], jobs: usize, engine: Option<&Engine>) -> ExitCode {
    let begun = Instant::now();
    let verdicts = run_all(columns, cases, jobs);
    if let Some(code) = engine.and_then(Engine::exit_code) {
        return ExitCode::from(code);
    }
    print_matrix(columns, cases, &verdicts);
    print_slowest(columns, cases, &verdicts);
    print_reasons(columns, cases, &verdicts);
    let count = |mark: char| verdicts.iter().flatten().filter(|verdict| verdict.mark() == mark).count();
    let (passed, failed, skipped) = (count('✓'), count('✗'), count('–'));
    println!("{passed} passed, {failed} failed, {skipped} skipped in {:.1} s", begun.elapsed().as_secs_f64());
    if passed == 0 {
        // It would look like a success although nothing is known.
        println!("NOTHING PASSED");
    }
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs each case (rows) on each subject (columns).
fn run_all(columns: &[Column], cases: &[&Case], jobs: usize) -> Vec<Vec<Verdict>> {
    let total = columns.len() * cases.len();
    let queue: VecDeque<(usize, usize)> =
        (0..cases.len()).flat_map(|row| (0..columns.len()).map(move |column| (row, column))).collect();
    let queue = Mutex::new(queue);
    // A function of its own, because `while let` would hold the lock during the case.
    let next = || lock(&queue).pop_front();
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((row, column)) = next() {
                    let (Some(case), Some(subject)) = (cases.get(row), columns.get(column)) else { continue };
                    let begun = Instant::now();
                    let outcome = match (&subject.launcher, (subject.unsuited)(case)) {
                        (Ok(_), Some(reason)) => Err(Failure::skipped(reason)),
                        (Ok(launcher), None) => case.check(launcher.as_ref()),
                        (Err(failure), _) => Err(failure.clone()),
                    };
                    let verdict = Verdict { outcome, took: begun.elapsed() };
                    let mut done = lock(&done);
                    progress((done.len() + 1, total), case, &subject.name, &verdict);
                    done.push((row, column, verdict));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(row, column, _)| (*row, *column));
    let mut rows: Vec<Vec<Verdict>> = cases.iter().map(|_| Vec::new()).collect();
    for (row, _, verdict) in done {
        if let Some(cells) = rows.get_mut(row) {
            cells.push(verdict);
        }
    }
    rows
}

/// Shows that a case has ended: on a terminal for a moment, and in a log for good, since a run may not reach its end.
fn progress((done, total): (usize, usize), case: &Case, column: &str, verdict: &Verdict) {
    let mut stderr = std::io::stderr();
    // The cases go on even if progress cannot be shown.
    let _ = if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{done}/{total} {}", case.path());
        if done == total { write!(stderr, "\r\x1b[K") } else { stderr.flush() }
    } else {
        let (mark, seconds) = (verdict.mark(), verdict.took.as_secs_f64());
        writeln!(stderr, "{done}/{total} {mark} {} on {column} in {seconds:.1} s", case.path())
    };
}

fn print_matrix(columns: &[Column], cases: &[&Case], verdicts: &[Vec<Verdict>]) {
    let mut group = "";
    for (case, row) in cases.iter().zip(verdicts) {
        if case.group != group {
            group = case.group;
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            println!("\n{group:60} {}", names.join("  "));
        }
        let mut line = format!("  {:58}", case.name);
        for (column, verdict) in columns.iter().zip(row) {
            let width = column.name.chars().count() + 1;
            line.push_str(&format!(" {:width$}", verdict.mark()));
        }
        println!("{}", line.trim_end());
    }
    println!();
    for (index, column) in columns.iter().enumerate() {
        let took: Duration = verdicts.iter().filter_map(|row| row.get(index)).map(|verdict| verdict.took).sum();
        println!("{}: {:.1} s of cases", column.name, took.as_secs_f64());
    }
}

fn print_slowest(columns: &[Column], cases: &[&Case], verdicts: &[Vec<Verdict>]) {
    let mut cells: Vec<(Duration, String)> = Vec::new();
    for (case, row) in cases.iter().zip(verdicts) {
        for (column, verdict) in columns.iter().zip(row) {
            cells.push((verdict.took, format!("{} on {}", case.path(), column.name)));
        }
    }
    cells.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    println!("The slowest:");
    for (took, name) in cells.iter().take(SLOWEST_SHOWN) {
        println!("  {:6.1} s  {name}", took.as_secs_f64());
    }
}

fn print_reasons(columns: &[Column], cases: &[&Case], verdicts: &[Vec<Verdict>]) {
    for (case, row) in cases.iter().zip(verdicts) {
        for (column, verdict) in columns.iter().zip(row) {
            match &verdict.outcome {
                Ok(()) => {}
                Err(Failure::Skipped(reason)) => println!("SKIPPED {} on {}: {reason}", case.path(), column.name),
                Err(Failure::Unmet(text)) => println!("\nFAILED on {}: {text}", column.name),
            }
        }
    }
}

impl Verdict {
    fn mark(&self) -> char {
        match self.outcome {
            Ok(()) => '✓',
            Err(Failure::Unmet(_)) => '✗',
            Err(Failure::Skipped(_)) => '–',
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
