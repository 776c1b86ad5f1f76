//! SELECT statements.

use std::pin::pin;

use argus_core::query::{Order, Position};
use argus_database::Bounds;
use futures_util::TryStreamExt as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use crate::values::split;

/// A statement under construction.
#[derive(Default)]
pub(crate) struct Select {
    sql: String,
    parameters: Vec<(Box<dyn ToSql + Send + Sync>, Type)>,
}

impl Select {
    /// Appends SQL.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a parameter.
    pub(crate) fn bind(&mut self, value: impl ToSql + Send + Sync + 'static, of: Type) -> &mut Self {
        self.parameters.push((Box::new(value), of));
        self.sql.push_str(&format!("${}", self.parameters.len()));
        self
    }

    /// Appends the condition that a row is within bounds.
    pub(crate) fn within(&mut self, bounds: &Bounds) -> &mut Self {
        self.push("seq > ").bind(number(bounds.after_seq), Type::INT8);
        self.push(" AND seq <= ").bind(number(bounds.up_to_seq), Type::INT8);
        if let Some(after) = bounds.after {
            self.push(" AND (time, nanos, seq) > ").position(after);
        }
        if let Some(up_to) = bounds.up_to {
            self.push(" AND (time, nanos, seq) <= ").position(up_to);
        }
        self
    }

    fn position(&mut self, position: Position) {
        let (time, nanos) = split(position.timestamp);
        self.push("(").bind(time, Type::TIMESTAMPTZ).push(", ").bind(nanos, Type::INT2);
        self.push(", ").bind(number(position.seq), Type::INT8).push(")");
    }

    /// Appends `ORDER BY`.
    pub(crate) fn ordered(&mut self, order: Order) -> &mut Self {
        self.push(" ORDER BY ").push(keys(order))
    }

    /// The rows.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn rows(&self, client: &Client) -> Result<Vec<Row>, Error> {
        client.query_typed_raw(&self.sql, self.parameters()).await?.try_collect().await
    }

    /// What is read from each row. No row is kept longer than that.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn read<T>(&self, client: &Client, read: impl FnMut(Row) -> T) -> Result<Vec<T>, Error> {
        client.query_typed_raw(&self.sql, self.parameters()).await?.map_ok(read).try_collect().await
    }

    /// The first rows, until they have `bytes_max` bytes, and whether there may be more.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn first_rows(&self, client: &Client, bytes_max: usize) -> Result<(Vec<Row>, bool), Error> {
        let stream = client.query_typed_raw(&self.sql, self.parameters()).await?;
        let (mut stream, mut rows, mut bytes) = (pin!(stream), Vec::new(), 0);
        while let Some(row) = stream.try_next().await? {
            bytes += row.raw_size_bytes();
            rows.push(row);
            if bytes >= bytes_max {
                return Ok((rows, true));
            }
        }
        Ok((rows, false))
    }

    fn parameters(&self) -> impl Iterator<Item = (&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
    }
}

/// The columns by which an order sorts.
pub(crate) fn keys(order: Order) -> &'static str {
    match order {
        Order::TimeAscending => "time, nanos, seq",
        Order::TimeDescending => "time DESC, nanos DESC, seq DESC",
        Order::Sequence => "seq",
    }
}

/// A sequence number for PostgreSQL. Higher ones than it knows do not occur.
pub(crate) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
