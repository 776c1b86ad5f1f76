//! The command line of xtask, and the help that describes it.

use std::{
    ffi::OsString,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lexopt::{Arg, Parser, ValueExt};

/// A development task with its options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print a help text.
    Help(&'static str),
    /// Everything that a change must pass.
    Test(TestOptions),
    /// Formatting, lints, documentation and tidiness.
    Check,
    /// The rules of this repository that no other tool knows.
    Tidy,
    /// The black-box suite.
    Conformance(ConformanceOptions),
    /// Kills servers under load.
    Crash(CrashOptions),
    /// Autobahn's fuzzing client.
    Autobahn,
    /// The speed of the servers.
    Bench(BenchOptions),
    /// The engine on a medium with faults. The simulator parses its options itself.
    Simulate(Vec<OsString>),
    /// Any bytes into parsers and the engine. The fuzzer parses its options itself.
    Fuzz(Vec<OsString>),
    /// A sample stream of events.
    Sample(SampleOptions),
}

/// How much is tested.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestOptions {
    /// Run the conformance suite over every version of `PostgreSQL`, not only the usual and the newest one.
    pub(crate) every_database: bool,
}

/// Which subjects and which cases the conformance suite runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ConformanceOptions {
    /// Runtimes to start; all if `None`.
    pub(crate) runtime: Option<String>,
    /// Repositories to start them with; all if `None`.
    pub(crate) repository: Option<String>,
    /// The major version of the `PostgreSQL` server to start; the usual one if `None`.
    pub(crate) postgres: Option<u32>,
    /// A running server to use, instead of starting any.
    pub(crate) url: Option<String>,
    /// Only the cases whose name contains this.
    pub(crate) filter: Option<String>,
    /// Print the names of the cases and run nothing.
    pub(crate) list: bool,
    /// Start containers instead of processes.
    pub(crate) container: Option<ContainerOptions>,
}

/// How servers are put into containers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerOptions {
    /// The engine; the first that works if `None`.
    pub(crate) engine: Option<String>,
    /// The image in which a program is compiled; that of the Dockerfile if `None`.
    pub(crate) build_image: Option<String>,
    /// The image in which a program runs; that of the Dockerfile if `None`.
    pub(crate) base_image: Option<String>,
    /// Make an image in which a program runs.
    pub(crate) debootstrap: bool,
    /// Use the programs that are built here, and compile none in a container.
    pub(crate) prebuilt: bool,
}

/// How often servers are killed, and under what load.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CrashOptions {
    /// Rounds for each runtime.
    pub(crate) rounds: Option<u64>,
    /// Only this runtime.
    pub(crate) runtime: Option<String>,
    /// Where events are; on disk if `None`.
    pub(crate) repository: Option<String>,
    /// Clients that submit at once.
    pub(crate) connections: Option<u64>,
    /// The seed of the random numbers.
    pub(crate) seed: Option<u64>,
    /// Minutes of a soak, instead of rounds.
    pub(crate) soak: Option<u64>,
}

/// What the bench measures, and how much of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BenchOptions {
    /// Only this runtime.
    pub(crate) runtime: Option<String>,
    /// Only the parts whose name contains this.
    pub(crate) filter: Option<String>,
    /// Runs of each measure.
    pub(crate) runs: Option<usize>,
    /// Events that the larger measurements store.
    pub(crate) events: Option<usize>,
    /// Threads of the servers and of the floors; their default if `None`.
    pub(crate) threads: Option<usize>,
    /// Ask questions also about fewer and about more events.
    pub(crate) curve: bool,
    /// Run everything quickly, without meaningful figures.
    pub(crate) smoke: bool,
}

/// The sample stream to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampleOptions {
    /// The number of events.
    pub(crate) events: u64,
    /// The seed of the random numbers.
    pub(crate) seed: u64,
    /// The start of the week, not before the Unix epoch.
    pub(crate) start: SystemTime,
}

impl Default for SampleOptions {
    fn default() -> Self {
        // 2026-03-02T00:00:00Z, a Monday.
        let start = UNIX_EPOCH + Duration::from_secs(1_772_409_600);
        Self { events: 100_000, seed: 1, start }
    }
}

const HELP: &str = "\
Development tasks of Argus Events

Usage: cargo xtask <COMMAND> [OPTIONS]

Commands:
  test         Everything that a change must pass: unit and property tests, doc tests, the conformance
               suite on every runtime, a simulation, killed servers, a small bench, and `check`.
               All steps run even if one fails; the exit code and the last line say how it went
  check        rustfmt, clippy, rustdoc (all with warnings denied) and tidy
  tidy         Only tidy: the house rules, for example file sizes, layers, and names in documents
  conformance  The black-box suite against the real binaries, as a matrix of case and subject
  simulate     The engine on a simulated medium with faults, drawn from seeds
  fuzz         Any bytes into the parsers and the engine, with libFuzzer if cargo-fuzz is installed
  crash        Kills real servers under load: no acknowledged event is lost, none is stored twice
  autobahn     Autobahn's fuzzing client against both hosts: does their WebSocket keep to the RFC?
  bench        The speed of the servers beside floors measured in the same run, in one table
  sample       A week of a web shop as a stream of events, to try things on

Options:
  -h, --help   This text; after a command, the options of that command

Nothing reads from standard input. Steps and their times go to standard error.
";

const TEST_HELP: &str = "\
Everything that a change must pass

Usage: cargo xtask test [OPTIONS]

Options:
      --every-database  Run the conformance suite also over the versions of PostgreSQL between the usual and the newest
                        one, and over MongoDB: for a nightly run. If ARGUS_TEST_MONGODB has the URL of a server, that is
                        used; else `mongod` or `secantusd-rs`, which is built if it is missing
  -h, --help            This text

Runs these steps in this order, and continues after a failure:
  1. cargo-nextest is there: installed by `cargo install cargo-nextest --locked` if missing
  2. programs for the tests are there: nginx, curl, openssl and pip, and Node, npm and Chromium, installed by `apt-get`,
     as root or with sudo, if they are missing. Where the last three cannot be installed, their cases are skipped
  3. DuckDB and pyarrow are there: installed from PyPI, once, into a folder of their own. Skipped if that is not
     possible; then no other program reads exported files
  4. PostgreSQL runs: a server in a temporary folder, for the steps up to conformance. Installed by `apt-get` if it is
     missing. If ARGUS_TEST_POSTGRES has the URL of a database, that is used instead
  5. unit, property and integration tests: of the workspace, under nextest
  6. doc tests: under cargo
  7. binaries for the conformance suite: the servers, the minimal host and xtask itself
  8. conformance: one test for each subject and case, under nextest
  9. conformance over other databases: the cases on the newest PostgreSQL, installed from npm if it is missing
 10. everything that cases need is there: skipped if something is missing; the summary names it, and the cases that
     were skipped for it
 11. conformance in containers, a part: some twenty cases. As root on Debian, podman, debootstrap and what they need are
     installed by `apt-get` if they are missing. Skipped, with the reason, where containers cannot run
 12. simulation, from a fresh seed: 10,000 runs of the engine on a medium with faults
 13. crash, as a smoke test: some rounds of servers that are killed under load, on disk and over PostgreSQL
 14. bench, as a smoke test: its answers are checked, its figures mean nothing
 15. rustfmt, 16. clippy, 17. rustdoc, 18. tidy: as `cargo xtask check` runs them

For one crate, `cargo nextest run -p argus-core` is quicker.
";

const CHECK_HELP: &str = "\
Formatting, lints, documentation and tidiness

Usage: cargo xtask check

Runs, in this order, and continues after a failure:
  1. rustfmt: cargo fmt --all --check
  2. clippy: cargo clippy --workspace --all-targets -- -D warnings
  3. rustdoc: cargo doc --no-deps --workspace, with RUSTDOCFLAGS='-D warnings'
  4. tidy: as `cargo xtask tidy` runs it
";

const TIDY_HELP: &str = "\
The rules of this repository that no other tool knows

Usage: cargo xtask tidy

Prints every violation as `path:line: reason`. The rules are in xtask/src/tidy/, with their exemptions and the reason
of each. They also run as a unit test of xtask.
";

const CONFORMANCE_HELP: &str = "\
The black-box suite against the real binaries

Usage: cargo xtask conformance [OPTIONS]

Builds the runtimes and the minimal test host, starts a fresh server for every case, and prints a matrix.

Options:
      --runtime <NAME>       Only this runtime: tokio, smol or minimal
      --repository <NAME>    Only this repository: memory, disk, postgres or mongodb. The last is tested only if it
                             is named
      --postgres <VERSION>   With --repository postgres: a server of this major version. 16, 17 and 18 are installed
                             from npm if they are missing [default: the database in ARGUS_TEST_POSTGRES if it is set,
                             else Debian's version]
      --url <URL>            Run against a running server, and start none
      --filter <TEXT>        Only the cases whose name contains the text
      --list                 Print the names of the cases and run nothing
      --container [ENGINE]   Build an image of each runtime and start a container for each server, with podman or
                             docker [default: the first that works]
  -h, --help                 This text

With --container:
      --prebuilt             Put the programs of this tree into the images, instead of compiling them in a container
      --debootstrap          Install Debian into an image, on which the others are based; for machines without a
                             registry. Needs root and debootstrap
      --base-image <IMAGE>   The image on which the others are based [default: that of the Dockerfile]
      --build-image <IMAGE>  The image in which programs are compiled [default: that of the Dockerfile]

Containers are removed however the command ends. Cases that need the process itself are skipped, with the reason.
";

const CRASH_HELP: &str = "\
Kills real servers under load: no acknowledged event is lost, none is stored twice

Usage: cargo xtask crash [OPTIONS]

Options:
      --rounds <N>         Rounds for each runtime, all on one folder [default: 20]
      --runtime <NAME>     Only this runtime: tokio or smol; or all [default: all]
      --repository <NAME>  Where events are: disk, postgres or mongodb [default: disk]
      --connections <N>    Clients that submit at once [default: 16]
      --seed <S>           Seed of the random numbers [default: a random one, which is printed]
      --soak <MINUTES>     Instead of rounds: writers, fast and slow readers, idle and half-open connections, a disk
                           that fills up and is freed, and a log that nobody reads, all at once, for each runtime
  -h, --help               This text

Each round submits events, kills the server (by SIGKILL, under load or while it starts; sometimes by SIGTERM), starts
it again, and compares what is stored with what the clients were told. After the rounds come faults: system calls
that fail or end the process (by strace), and a full disk (by a small tmpfs). A fault that the machine does not permit
is skipped, and reported. The first violation is reported with seed, round and folder, which is kept.

With --repository postgres or mongodb, one or two servers share a database. PostgreSQL is installed by `apt-get` if it
is missing; if there is no `mongod`, SecantusDB of PyPI takes its place. Each round kills servers, kills or stops the
database, or cuts or stalls the connections between them. All must become ready again by themselves. No other faults
follow.
";

const AUTOBAHN_HELP: &str = "\
Autobahn's fuzzing client against both hosts: does their WebSocket keep to the RFC?

Usage: cargo xtask autobahn

Installs the client (PyPI: autobahntestsuite 0.8.2) into the target folder, once. It needs Python 2.7 with pip; without
it, the last line says that nothing ran, and the exit code is 0. Runs all cases but those of compression, which is not
offered, against the examples tokio_echo and smol_echo, and prints how many there are of each verdict. Any but OK,
NON-STRICT (correct, but not in the order that Autobahn prefers) and INFORMATIONAL is a failure.
";

const BENCH_HELP: &str = "\
The speed of the servers beside floors measured in the same run

Usage: cargo xtask bench [OPTIONS]

Parts:
  single   POST of one event of 250 bytes over 64 connections, beside the same host's empty handler
  limits   the same with a key and rate limits, beside a server where everything is open
  batches  POST of NDJSON, 5,000 events a body, over 4 connections; and the memory that the events take
  queries  GET of the first 100 events of one type in one hour, among few other events and among many
  questions
           aggregates, funnel, retention, types, fields and lists by a value of the payload, on disk, beside DuckDB and
           ClickHouse with the same events, which are installed from PyPI into the target folder (not with --smoke).
           Wrong answers are a failure. Then ingestion beside questions, and questions beside ingestion
  fair     POST of single events while eight scans read all events
  durable  POST of single events and of batches to a repository on disk, beside one in memory; single events also
           beside PostgreSQL 15, if it is installed, with a table like Argus's and with a minimal one; the disk space
           and memory of the events, and the time of a restart
  streams  a thousand live streams with few filters, and how late they are; POST of NDJSON beside a thousand that
           select nothing, and beside a thousand that select a part; one stream of all events over SSE and over
           WebSocket; and the first event of a reader that comes back
  postgresql
           events in PostgreSQL, if it is installed: POST of single events beside pgbench, POST of batches by one
           process and by two, beside COPY, pages of one type, one user and one country, and counts
  mongodb  events in MongoDB: POST of single events and of batches beside bare inserts of the same documents, pages
           beside a bare find, and counts. Without a mongod, a server that stands in for it is installed

Options:
      --runtime <NAME>   Only this runtime: tokio or smol [default: all]
      --filter <TEXT>    Only the parts whose name contains the text
      --runs <N>         Runs of each measurement; the report has their median [default: 5; questions 9]
      --events <N>       Events that the larger parts store [default: 1000000; questions 5000000]
      --threads <N>      Threads of the servers and of the empty handlers [default: one for each CPU]
      --curve            Ask questions also about a fifth of the events, and about four times as many (these without
                         DuckDB and ClickHouse)
      --smoke            Small, unoptimised, one run: shows in seconds that the bench works; its figures mean nothing
  -h, --help             This text

Floor and subject take turns, on fresh processes. Every answer is checked, and so is the number of events stored in
the end. The load generator is one thread of this process. Run nothing else at the same time; the load of the machine
is printed with the figures. The table shows which goals are missed; that is no failure.
";

const SAMPLE_HELP: &str = "\
A week of a web shop as a stream of events, to try things on

Usage: cargo xtask sample [OPTIONS]

Options:
      --events <N>      Events to write [default: 100000]
      --seed <S>        Seed of the random numbers; the same seed gives the same bytes [default: 1]
      --start <TIME>    The start of the week in RFC 3339 [default: 2026-03-02T00:00:00Z]
  -h, --help            This text

Writes NDJSON to standard output, in the order in which a server would receive it: page views, searches, product
views, carts, checkouts, purchases and refunds, on desktops, phones and in an app. Purchases and refunds have an `id`,
and some purchases are sent twice. Some events of the app come hours late, and some of its clocks are wrong.
";

impl Command {
    /// Parses the command line of this process.
    pub(crate) fn from_env() -> Result<Self, lexopt::Error> {
        Self::parse(Parser::from_env())
    }

    fn parse(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let name = match parser.next()? {
            None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Self::Help(HELP)),
            Some(Arg::Value(name)) => name.string()?,
            Some(other @ (Arg::Short(_) | Arg::Long(_))) => return Err(other.unexpected()),
        };
        match name.as_str() {
            "help" => Ok(Self::Help(HELP)),
            "test" => test(&mut parser),
            "check" => without_options(&mut parser, Self::Check, CHECK_HELP),
            "tidy" => without_options(&mut parser, Self::Tidy, TIDY_HELP),
            "conformance" => conformance(&mut parser),
            "crash" => crash(&mut parser),
            "autobahn" => without_options(&mut parser, Self::Autobahn, AUTOBAHN_HELP),
            "bench" => bench(&mut parser),
            "sample" => sample(&mut parser),
            "simulate" => Ok(Self::Simulate(parser.raw_args()?.collect())),
            "fuzz" => Ok(Self::Fuzz(parser.raw_args()?.collect())),
            unknown => Err(format!("unknown command '{unknown}'").into()),
        }
    }
}

fn without_options(parser: &mut Parser, command: Command, help: &'static str) -> Result<Command, lexopt::Error> {
    match parser.next()? {
        None => Ok(command),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Help(help)),
        Some(other) => Err(other.unexpected()),
    }
}

fn test(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut options = TestOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(TEST_HELP)),
            Arg::Long("every-database") => options.every_database = true,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => return Err(other.unexpected()),
        }
    }
    Ok(Command::Test(options))
}

fn conformance(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut options = ConformanceOptions::default();
    let mut container = ContainerOptions::default();
    let mut is_contained = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(CONFORMANCE_HELP)),
            Arg::Long("container") => {
                is_contained = true;
                container.engine = optional_value(parser).map(text).transpose()?;
            }
            Arg::Long("prebuilt") => container.prebuilt = true,
            Arg::Long("debootstrap") => container.debootstrap = true,
            Arg::Long("base-image") => container.base_image = Some(text(parser.value()?)?),
            Arg::Long("build-image") => container.build_image = Some(text(parser.value()?)?),
            Arg::Long("runtime") => options.runtime = Some(text(parser.value()?)?),
            Arg::Long("repository") => options.repository = Some(text(parser.value()?)?),
            Arg::Long("postgres") => options.postgres = Some(parser.value()?.parse()?),
            Arg::Long("url") => options.url = Some(text(parser.value()?)?),
            Arg::Long("filter") => options.filter = Some(text(parser.value()?)?),
            Arg::Long("list") => options.list = true,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => return Err(other.unexpected()),
        }
    }
    if options.url.is_some() && (options.runtime.is_some() || options.repository.is_some()) {
        return Err("--url names a running server: leave --runtime and --repository out".into());
    }
    let on_postgres = options.repository.as_deref() == Some("postgres");
    if options.postgres.is_some() && !on_postgres {
        return Err("--postgres is the version of a server: add --repository postgres".into());
    }
    if is_contained && on_postgres {
        return Err("servers in containers do not reach a database of this machine: leave one of both out".into());
    }
    if is_contained && (options.url.is_some() || options.list) {
        return Err("--container starts servers: leave --url and --list out".into());
    }
    if !is_contained && container != ContainerOptions::default() {
        return Err("--prebuilt, --debootstrap, --base-image and --build-image need --container".into());
    }
    if container.debootstrap && container.base_image.is_some() {
        return Err("--debootstrap makes the base image: leave --base-image out".into());
    }
    options.container = is_contained.then_some(container);
    Ok(Command::Conformance(options))
}

fn crash(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut options = CrashOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(CRASH_HELP)),
            Arg::Long("rounds") => options.rounds = Some(parser.value()?.parse()?),
            Arg::Long("runtime") => options.runtime = Some(text(parser.value()?)?),
            Arg::Long("repository") => options.repository = Some(text(parser.value()?)?),
            Arg::Long("connections") => options.connections = Some(parser.value()?.parse()?),
            Arg::Long("seed") => options.seed = Some(parser.value()?.parse()?),
            Arg::Long("soak") => options.soak = Some(parser.value()?.parse()?),
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => return Err(other.unexpected()),
        }
    }
    Ok(Command::Crash(options))
}

fn bench(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut options = BenchOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(BENCH_HELP)),
            Arg::Long("runtime") => options.runtime = Some(text(parser.value()?)?),
            Arg::Long("filter") => options.filter = Some(text(parser.value()?)?),
            Arg::Long("runs") => options.runs = Some(parser.value()?.parse()?),
            Arg::Long("events") => options.events = Some(parser.value()?.parse()?),
            Arg::Long("threads") => options.threads = Some(parser.value()?.parse()?),
            Arg::Long("curve") => options.curve = true,
            Arg::Long("smoke") => options.smoke = true,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => return Err(other.unexpected()),
        }
    }
    Ok(Command::Bench(options))
}

fn sample(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut options = SampleOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(SAMPLE_HELP)),
            Arg::Long("events") => options.events = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("start") => options.start = parser.value()?.parse_with(humantime::parse_rfc3339)?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => return Err(other.unexpected()),
        }
    }
    Ok(Command::Sample(options))
}

/// The value of an option that may have none: after `=`, or the next argument unless that is an option.
fn optional_value(parser: &mut Parser) -> Option<OsString> {
    parser.optional_value().or_else(|| {
        let mut rest = parser.try_raw_args()?;
        rest.next_if(|next| !next.to_string_lossy().starts_with('-'))
    })
}

fn text(value: OsString) -> Result<String, lexopt::Error> {
    let value = value.string()?;
    if value.is_empty() { Err("an option has an empty value".into()) } else { Ok(value) }
}

#[cfg(test)]
mod tests;
