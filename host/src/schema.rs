//! The command `schema`: prints the statements that make the tables of a repository.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::backend;

/// Print the statements that make the tables, for a user who may not make them
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct SchemaCommand {
    /// The kind of database
    pub database: DatabaseKind,

    /// The name of the schema, as in the `schema` of the URL
    #[arg(long, value_name = "NAME", default_value = "argus")]
    pub schema: String,
}

/// A kind of database that needs statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgres,
}

impl SchemaCommand {
    /// Prints the statements on standard output. Exit code 2 if that is impossible.
    #[must_use]
    pub fn run(&self, program: &str) -> ExitCode {
        let DatabaseKind::Postgres = self.database;
        match backend::postgres_schema(&self.schema) {
            Ok(statements) => {
                print!("{statements}");
                ExitCode::SUCCESS
            }
            Err(reason) => {
                eprintln!("{program}: {reason}");
                ExitCode::from(2)
            }
        }
    }
}
