//! `DuckDB` and `ClickHouse` as libraries of Python, each in a process of its own that answers all questions and ends.
//!
//! They are asked without a network in between, and use as many threads as they like, unless the servers are limited.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    answer::Rows,
    file::Written,
    question::{Question, Sql},
};
use crate::{
    steps,
    workspace::{metadata, target_directory},
};

/// The packages, from `PyPI`.
const PACKAGES: [&str; 2] = ["duckdb==2.0.1", "chdb==4.4.0"];

/// Loads the events and asks the questions.
const SCRIPT: &str = include_str!("rivals.py");

/// The interpreter. The packages exist for all versions of Python that are still maintained.
const PYTHON: &str = "python3";

/// The databases to compare with, installed.
#[derive(Debug)]
pub(super) struct Rivals {
    packages: PathBuf,
    threads: Option<usize>,
}

/// One of the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    DuckDb,
    ClickHouse,
}

/// What a database did.
#[derive(Debug)]
pub(super) struct Figures {
    /// The name with the version.
    pub(super) name: String,
    pub(super) load_seconds: f64,
    /// How long it merged afterwards.
    pub(super) rest_seconds: f64,
    /// The space on disk.
    pub(super) bytes: u64,
    /// The peak of the memory of the process.
    pub(super) peak_bytes: u64,
    /// One for each question.
    pub(super) answers: Vec<Answer>,
}

/// How a database answered a question.
#[derive(Debug)]
pub(super) struct Answer {
    /// Milliseconds of each run; none if this database is not compared.
    pub(super) times_ms: Vec<f64>,
    /// The answer that was measured.
    pub(super) rows: Option<Rows>,
    /// The exact answer, if it was asked for besides.
    pub(super) exact: Option<Rows>,
}

impl Rivals {
    /// The databases, installed into the target folder once if `installs`. The error says why they are not there.
    pub(super) fn new(installs: bool, threads: Option<usize>) -> Result<Self, String> {
        Self::install(installs, threads).map_err(|error| format!("{error:#}"))
    }

    fn install(installs: bool, threads: Option<usize>) -> Result<Self> {
        let folder = target_directory(&metadata()?)?.join("bench").join("rivals");
        let (packages, complete) = (folder.join("packages"), folder.join("installed"));
        let wanted = PACKAGES.join(" ");
        if !fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
            ensure!(installs, "{wanted} are not installed; a bench without --smoke installs them");
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            let mut pip = Command::new(PYTHON);
            pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--upgrade", "--target"]);
            steps::run(pip.arg(&packages).args(PACKAGES).stdin(Stdio::null()))
                .with_context(|| format!("{wanted} cannot be installed by {PYTHON} with pip"))?;
            fs::write(&complete, wanted).context("cannot note that they are installed")?;
        }
        Ok(Self { packages, threads })
    }

    /// Loads the events into a new database in this folder, and asks the questions.
    ///
    /// # Errors
    ///
    /// The database fails or prints something unexpected.
    pub(super) fn ask(
        &self,
        engine: Engine,
        folder: &TempDir,
        written: &Written,
        questions: &[Question],
        runs: usize,
    ) -> Result<Figures> {
        let asked: Vec<Value> = questions
            .iter()
            .map(|question| {
                let sql = engine.sql(question);
                json!({"sql": sql.timed, "exact": sql.exact})
            })
            .collect();
        let job = json!({
            "engine": engine.name(), "folder": folder.path(), "threads": self.threads, "events": written.path,
            "runs": runs, "questions": asked,
        });
        let output = self.run(folder.path(), &job).with_context(|| engine.name())?;
        Figures::read(&output, questions).with_context(|| format!("{} printed something else", engine.name()))
    }

    fn run(&self, folder: &Path, job: &Value) -> Result<Value> {
        let mut python = Command::new(PYTHON);
        python.args(["-c", SCRIPT]).current_dir(folder).env("PYTHONPATH", &self.packages);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut python = python.spawn().with_context(|| format!("cannot start {PYTHON}"))?;
        let mut stdin = python.stdin.take().context("standard input is not there")?;
        // The script reads all of it before it writes, so neither waits for the other.
        let sent = stdin.write_all(job.to_string().as_bytes());
        drop(stdin);
        let output = python.wait_with_output().context("cannot read its output")?;
        ensure!(output.status.success(), "the script ended with {}; its messages are above", output.status);
        sent.context("cannot send it a job")?;
        serde_json::from_slice(&output.stdout).context("its output is not JSON")
    }
}

impl Engine {
    pub(super) const ALL: [Self; 2] = [Self::DuckDb, Self::ClickHouse];

    /// The name in a job.
    const fn name(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::ClickHouse => "clickhouse",
        }
    }

    const fn sql(self, question: &Question) -> &Sql {
        match self {
            Self::DuckDb => &question.duckdb,
            Self::ClickHouse => &question.clickhouse,
        }
    }
}

impl Figures {
    fn read(output: &Value, questions: &[Question]) -> Result<Self> {
        let member = |name: &str| output.get(name).with_context(|| format!("no `{name}`"));
        let number = |name: &str| member(name)?.as_f64().with_context(|| format!("`{name}` is no number"));
        let bytes = |name: &str| member(name)?.as_u64().with_context(|| format!("`{name}` is no count"));
        let answers = member("answers")?.as_array().context("`answers` is no array")?;
        ensure!(answers.len() == questions.len(), "{} answers to {} questions", answers.len(), questions.len());
        let answers = answers
            .iter()
            .zip(questions)
            .map(|(answer, question)| Answer::read(answer, question).context(question.what))
            .collect::<Result<_>>()?;
        Ok(Self {
            name: member("name")?.as_str().context("`name` is no text")?.to_owned(),
            load_seconds: number("load_seconds")?,
            rest_seconds: number("rest_seconds")?,
            bytes: bytes("bytes")?,
            peak_bytes: bytes("peak_bytes")?,
            answers,
        })
    }
}

impl Answer {
    fn read(answer: &Value, question: &Question) -> Result<Self> {
        let rows = |name: &str| -> Result<Option<Rows>> {
            let rows = answer.get(name).filter(|rows| !rows.is_null());
            rows.map(|rows| Rows::of_rival(question.shape, rows)).transpose()
        };
        let times = answer.get("times_ms").and_then(Value::as_array).context("no times")?;
        Ok(Self {
            times_ms: times.iter().filter_map(Value::as_f64).collect(),
            rows: rows("rows")?,
            exact: rows("exact")?,
        })
    }
}
