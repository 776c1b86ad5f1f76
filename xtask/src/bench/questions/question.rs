//! The questions, as requests to the subject and as SQL.

use super::{
    super::workload::{HOUR_MS, rfc3339},
    answer::{Direction, LIMIT, Shape},
    events::{IN_HOUR, TYPES, session_name, user_name},
    file::Written,
};

/// A question, and how its answers are compared.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) what: &'static str,
    /// The request target at the subject.
    pub(super) target: String,
    pub(super) duckdb: Sql,
    pub(super) clickhouse: Sql,
    pub(super) shape: Shape,
    /// The largest relative difference of each column from the exact answer. The columns after these are exact.
    pub(super) tolerances: &'static [f64],
    pub(super) aim: Aim,
}

/// A question to a database of columns.
#[derive(Debug, Default)]
pub(super) struct Sql {
    /// What is measured. `None`: this database is not compared.
    pub(super) timed: Option<String>,
    /// For the exact answer, if `timed` asks for an estimate or is not there.
    pub(super) exact: Option<String>,
}

/// What the subject should take at most.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// This part of the time of the faster of the two others.
    OfFaster(f64),
    /// This part of the time of `ClickHouse`.
    OfClickHouse(f64),
    Milliseconds(f64),
    /// There is no goal.
    Open,
}

/// The documented error of percentiles.
const PERCENTILE: f64 = 0.01;
/// 3.5 times the documented standard error of numbers of different values.
const UNIQUE: f64 = 3.5 * 0.0081;
/// Averages are rounded to a 64-bit float, in another order of additions.
const AVERAGE: f64 = 1e-9;

/// The columns of a list of events at a database. The first two are compared.
const COLUMNS: &str = "session, event_type, user_id, country, amount, duration_ms, device, plan, ok";

/// A duration that one event in six exceeds.
const LONG_MS: u64 = 326;
/// A country of some percent of the events.
const COUNTRY: &str = "GB";
const MOST_FREQUENT: &str = TYPES[0];
const STEPS: [&str; 3] = [TYPES[0], TYPES[1], TYPES[3]];
const RETURNING: &str = TYPES[5];

/// All questions about these events.
pub(super) fn questions(written: &Written) -> Vec<Question> {
    vec![
        type_in_hour(written.hour_ms),
        latest_of_user("one frequent user's latest 100", &user_name(0)),
        latest_of_user("one rare user's latest 100", &user_name(written.rare_user)),
        session(&session_name(written.session)),
        count_by_type(),
        hourly(),
        by_country(),
        unique_users(),
        number_and_string(),
        funnel(),
        retention(),
        types(),
        fields(),
    ]
}

/// The target of the question that runs beside ingestion: count, average and percentile by country.
pub(super) fn by_country_target() -> String {
    format!(
        "/events/aggregate?type={MOST_FREQUENT}&group_by=payload.country&agg=count&agg=avg(payload.duration_ms)\
         &agg=p95(payload.duration_ms)"
    )
}

/// The targets of the two questions whose first answer is measured beside ingestion.
pub(super) fn small_targets(written: &Written) -> [(&'static str, String); 2] {
    let [hour, user] = [type_in_hour(written.hour_ms), latest_of_user("one user's latest 100", &user_name(0))];
    [(hour.what, hour.target), (user.what, user.target)]
}

fn sql(timed: String) -> Sql {
    Sql { timed: Some(timed), exact: None }
}

fn type_in_hour(start: u64) -> Question {
    let event_type = TYPES[IN_HOUR];
    let end = start + HOUR_MS - 1;
    let time = |time_ms: u64| format!("TIMESTAMP '{}'", rfc3339(time_ms).trim_end_matches('Z'));
    Question {
        what: "one type in one hour, first 100",
        target: format!("/events?type={event_type}&start={start}&end={end}&limit={LIMIT}"),
        duckdb: sql(format!(
            "SELECT epoch_ms(timestamp), {COLUMNS} FROM events WHERE event_type = '{event_type}' \
             AND timestamp BETWEEN {} AND {} ORDER BY timestamp LIMIT {LIMIT}",
            time(start),
            time(end)
        )),
        clickhouse: sql(format!(
            "SELECT toUnixTimestamp64Milli(timestamp), {COLUMNS} FROM events WHERE event_type = '{event_type}' \
             AND timestamp BETWEEN fromUnixTimestamp64Milli({start}, 'UTC') AND fromUnixTimestamp64Milli({end}, 'UTC') \
             ORDER BY timestamp LIMIT {LIMIT}"
        )),
        shape: Shape::Events(Direction::EarliestFirst),
        tolerances: &[],
        aim: Aim::OfFaster(0.2),
    }
}

fn latest_of_user(what: &'static str, user: &str) -> Question {
    let rest = format!("{COLUMNS} FROM events WHERE user_id = '{user}' ORDER BY timestamp DESC LIMIT {LIMIT}");
    Question {
        what,
        target: format!("/events?payload.user_id={user}&order=desc&limit={LIMIT}"),
        duckdb: sql(format!("SELECT epoch_ms(timestamp), {rest}")),
        clickhouse: sql(format!("SELECT toUnixTimestamp64Milli(timestamp), {rest}")),
        shape: Shape::Events(Direction::LatestFirst),
        tolerances: &[],
        aim: Aim::OfFaster(0.02),
    }
}

fn session(session: &str) -> Question {
    let rest = format!("{COLUMNS} FROM events WHERE session = '{session}'");
    Question {
        what: "one session, which is one event",
        // In quotes: a session may consist of digits alone.
        target: format!("/events?payload.session=%22{session}%22"),
        duckdb: sql(format!("SELECT epoch_ms(timestamp), {rest}")),
        clickhouse: sql(format!("SELECT toUnixTimestamp64Milli(timestamp), {rest}")),
        shape: Shape::Events(Direction::EarliestFirst),
        tolerances: &[],
        aim: Aim::Milliseconds(2.0),
    }
}

fn count_by_type() -> Question {
    let both = "SELECT event_type, count(*) FROM events GROUP BY event_type".to_owned();
    Question {
        what: "count by type",
        target: "/events/aggregate?group_by=type".to_owned(),
        duckdb: sql(both.clone()),
        clickhouse: sql(both),
        shape: Shape::Table,
        tolerances: &[],
        aim: Aim::OfFaster(0.2),
    }
}

fn hourly() -> Question {
    let rest =
        format!("AS hour, count(*) FROM events WHERE event_type = '{MOST_FREQUENT}' GROUP BY hour ORDER BY hour");
    Question {
        what: "hourly count of the most frequent type",
        target: format!("/events/aggregate?type={MOST_FREQUENT}&interval=1h"),
        duckdb: sql(format!("SELECT epoch_ms(date_trunc('hour', timestamp)) {rest}")),
        clickhouse: sql(format!("SELECT toUnixTimestamp(toStartOfHour(timestamp)) * 1000 {rest}")),
        shape: Shape::Table,
        tolerances: &[],
        aim: Aim::OfFaster(0.3),
    }
}

fn by_country() -> Question {
    let select = |percentile: &str| {
        format!(
            "SELECT country, count(*), avg(duration_ms), {percentile} FROM events \
             WHERE event_type = '{MOST_FREQUENT}' GROUP BY country"
        )
    };
    Question {
        what: "count, average and p95 by country",
        target: by_country_target(),
        // The exact percentiles of both are faster than their estimates.
        duckdb: sql(select("quantile_disc(duration_ms, 0.95)")),
        // It takes the rank above if 0.95 of the count is a whole number.
        clickhouse: sql(select("quantileExact(0.949999999)(duration_ms)")),
        shape: Shape::Table,
        tolerances: &[0.0, 0.0, AVERAGE, PERCENTILE],
        aim: Aim::OfFaster(1.0),
    }
}

fn unique_users() -> Question {
    let duckdb = |unique: &str| {
        format!("SELECT epoch_ms(date_trunc('day', timestamp)) AS day, {unique} FROM events GROUP BY day")
    };
    Question {
        what: "unique users a day",
        target: "/events/aggregate?interval=1d&agg=unique(payload.user_id)".to_owned(),
        // Its approx_count_distinct is faster, but off by 6 % for some days.
        duckdb: sql(duckdb("count(DISTINCT user_id)")),
        // The fastest of its estimates, and within the error of the subject's.
        clickhouse: sql("SELECT toUnixTimestamp(toStartOfDay(timestamp)) * 1000 AS day, uniqCombined(user_id) \
             FROM events GROUP BY day"
            .to_owned()),
        shape: Shape::Table,
        tolerances: &[0.0, UNIQUE],
        aim: Aim::OfFaster(0.7),
    }
}

fn number_and_string() -> Question {
    let both = format!("SELECT count(*) FROM events WHERE duration_ms >= {LONG_MS} AND country = '{COUNTRY}'");
    Question {
        what: "count where a number and a string match",
        target: format!("/events/aggregate?payload.duration_ms[gte]={LONG_MS}&payload.country={COUNTRY}"),
        duckdb: sql(both.clone()),
        clickhouse: sql(both),
        shape: Shape::Table,
        tolerances: &[],
        aim: Aim::OfFaster(1.0),
    }
}

fn funnel() -> Question {
    let [first, second, third] = STEPS;
    let steps = format!("'{first}', '{second}', '{third}'");
    // The latest attempt before an event is the one that has most time left, so no other has to be followed.
    let window = "OVER (PARTITION BY user_id ORDER BY timestamp, row \
                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)";
    let duckdb = format!(
        "WITH steps AS (SELECT user_id, event_type, timestamp, rowid AS row FROM events \
         WHERE event_type IN ({steps})), \
         seconds AS (SELECT *, max(CASE WHEN event_type = '{first}' THEN timestamp END) {window} AS began FROM steps), \
         thirds AS (SELECT *, max(CASE WHEN event_type = '{second}' AND timestamp <= began + INTERVAL 1 HOUR \
         THEN began END) {window} AS went_on FROM seconds) \
         SELECT unnest([{steps}]), unnest([count(DISTINCT CASE WHEN event_type = '{first}' THEN user_id END), \
         count(DISTINCT CASE WHEN event_type = '{second}' AND timestamp <= began + INTERVAL 1 HOUR THEN user_id END), \
         count(DISTINCT CASE WHEN event_type = '{third}' AND timestamp <= went_on + INTERVAL 1 HOUR \
         THEN user_id END)]) FROM thirds"
    );
    let clickhouse = format!(
        "SELECT arrayJoin([('{first}', countIf(level >= 1)), ('{second}', countIf(level >= 2)), \
         ('{third}', countIf(level >= 3))]) AS step FROM (SELECT user_id, \
         windowFunnel({HOUR_MS})(toUInt64(toUnixTimestamp64Milli(timestamp)), event_type = '{first}', \
         event_type = '{second}', event_type = '{third}') AS level FROM events WHERE event_type IN ({steps}) \
         GROUP BY user_id)"
    );
    Question {
        what: "funnel of three steps within 1 h",
        target: format!("/events/funnel?step={first}&step={second}&step={third}&by=payload.user_id&within=1h"),
        duckdb: sql(duckdb),
        clickhouse: sql(format!("SELECT step.1, step.2 FROM ({clickhouse})")),
        shape: Shape::Steps,
        tolerances: &[],
        aim: Aim::OfClickHouse(1.0),
    }
}

fn retention() -> Question {
    let returned: Vec<String> = (0..=4)
        .map(|weeks| {
            format!("count(DISTINCT CASE WHEN n > 1 AND week = cohort + INTERVAL {weeks} WEEK THEN user_id END)")
        })
        .collect();
    let exact = format!(
        "WITH numbered AS (SELECT user_id, date_trunc('week', timestamp) AS week, \
         row_number() OVER (PARTITION BY user_id ORDER BY timestamp, rowid) AS n FROM events \
         WHERE event_type = '{RETURNING}'), \
         members AS (SELECT *, min(week) OVER (PARTITION BY user_id) AS cohort FROM numbered) \
         SELECT epoch_ms(cohort), count(DISTINCT user_id), {} FROM members GROUP BY cohort",
        returned.join(", ")
    );
    Question {
        what: "retention by week",
        target: format!(
            "/events/retention?first={RETURNING}&then={RETURNING}&by=payload.user_id&interval=1w&periods=4"
        ),
        duckdb: Sql { timed: None, exact: Some(exact) },
        clickhouse: Sql::default(),
        shape: Shape::Cohorts,
        tolerances: &[],
        aim: Aim::Open,
    }
}

fn types() -> Question {
    let select = |milliseconds: &str| {
        format!(
            "SELECT event_type, count(*) AS events, {milliseconds}(min(timestamp)), {milliseconds}(max(timestamp)) \
             FROM events GROUP BY event_type ORDER BY events DESC, event_type"
        )
    };
    Question {
        what: "types",
        target: "/events/types".to_owned(),
        duckdb: sql(select("epoch_ms")),
        clickhouse: sql(select("toUnixTimestamp64Milli")),
        shape: Shape::Types,
        tolerances: &[],
        aim: Aim::Open,
    }
}

fn fields() -> Question {
    // The answer is about the latest 10,000 events. Every event has all fields.
    let exact = "SELECT path, kind, (SELECT least(10000, count(*)) FROM events) FROM (VALUES ('amount', 'number'), \
                 ('country', 'string'), ('device', 'string'), ('duration_ms', 'number'), ('ok', 'boolean'), \
                 ('plan', 'string'), ('session', 'string'), ('user_id', 'string')) AS kinds (path, kind)";
    Question {
        what: "fields",
        target: "/events/fields".to_owned(),
        duckdb: Sql { timed: None, exact: Some(exact.to_owned()) },
        clickhouse: Sql::default(),
        shape: Shape::Fields,
        tolerances: &[],
        aim: Aim::Open,
    }
}
