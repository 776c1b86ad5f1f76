//! The final table of the bench, and the arithmetic of its figures.

use std::{fmt, time::Duration};

/// The facts and figures so far.
#[derive(Debug)]
pub(super) struct Report {
    facts: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    skipped: Vec<String>,
}

/// A figure with its floor and its goal.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) measure: String,
    pub(super) subject: &'static str,
    pub(super) figure: String,
    /// The same figure for an empty handler, in memory, or for another program; empty if that makes no sense.
    pub(super) floor: String,
    pub(super) goal: Goal,
}

/// The goal for a figure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    AtLeast {
        goal: f64,
        is: f64,
        unit: &'static str,
    },
    AtMost {
        goal: f64,
        is: f64,
        unit: &'static str,
    },
    /// The figure is only shown.
    Open,
}

impl Report {
    pub(super) fn new(facts: Vec<(&'static str, String)>) -> Self {
        Self { facts, rows: Vec::new(), skipped: Vec::new() }
    }

    /// Adds a row and prints it at once, since the whole table comes much later.
    pub(super) fn add(&mut self, row: Row) {
        eprintln!("  {}, {}: {} {}", row.measure, row.subject, row.figure, row.goal.verdict());
        self.rows.push(row);
    }

    /// Reports, at once and below the table, why a row is missing.
    pub(super) fn skip(&mut self, measure: &str, reason: &str) {
        let skipped = format!("SKIPPED: {measure}: {reason}");
        eprintln!("  {skipped}");
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (name, fact) in &self.facts {
            writeln!(f, "{name:<12} {fact}")?;
        }
        writeln!(f)?;
        let head = ["measure", "subject", "figure", "floor", "goal", "met"].map(str::to_owned);
        let lines: Vec<[String; 6]> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (number, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
            if number == 0 {
                writeln!(f, "|-{}-|", widths.map(|width| "-".repeat(width)).join("-|-"))?;
            }
        }
        for skipped in &self.skipped {
            writeln!(f, "\n{skipped}")?;
        }
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let subject = self.subject.to_owned();
        let met = self.goal.verdict().to_owned();
        [self.measure.clone(), subject, self.figure.clone(), self.floor.clone(), self.goal.to_string(), met]
    }
}

impl Goal {
    fn verdict(self) -> &'static str {
        match self {
            Self::AtLeast { goal, is, .. } if is >= goal => "yes",
            Self::AtMost { goal, is, .. } if is <= goal => "yes",
            Self::AtLeast { .. } | Self::AtMost { .. } => "NO",
            Self::Open => "",
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast { goal, unit, .. } => write!(f, "at least {goal} {unit}"),
            Self::AtMost { goal, unit, .. } => write!(f, "at most {goal} {unit}"),
            Self::Open => Ok(()),
        }
    }
}

/// The median; the mean of the two middle values for an even number. 0 for no values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or_default();
    let lower = if sorted.len().is_multiple_of(2) { sorted.get(middle.wrapping_sub(1)) } else { None };
    lower.map_or(upper, |lower| f64::midpoint(*lower, upper))
}

/// The smallest of the sorted latencies that at least `percent` of them do not exceed, in milliseconds. 0 for none.
pub(super) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

/// A count per second.
pub(super) fn rate(count: u64, elapsed: Duration) -> f64 {
    as_f64(count) / elapsed.as_secs_f64()
}

/// Exact below 2^53, which no count here reaches.
#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a bench stay below 2^53")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// A number with separated thousands: 1,234,567.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rounded figure with separated thousands.
pub(super) fn rounded(figure: f64) -> String {
    thousands(format!("{figure:.0}").parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_those_of_the_textbook() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
        let latencies: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (percent, expected) in [(50, 100.0), (99, 198.0), (100, 200.0), (0, 1.0)] {
            assert!((percentile_ms(&latencies, percent) - expected).abs() < 1e-9, "{percent}");
        }
        assert!(percentile_ms(&[], 50).abs() < f64::EPSILON);
    }

    #[test]
    fn thousands_are_separated() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), expected);
        }
        assert_eq!(rounded(1234.5678), "1,235");
    }

    #[test]
    fn goals_are_judged() {
        assert_eq!(Goal::AtLeast { goal: 0.7, is: 0.7, unit: "" }.verdict(), "yes");
        assert_eq!(Goal::AtLeast { goal: 0.7, is: 0.69, unit: "" }.verdict(), "NO");
        assert_eq!(Goal::AtMost { goal: 1.0, is: 1.01, unit: "ms" }.verdict(), "NO");
        assert_eq!(Goal::AtMost { goal: 1.0, is: f64::NAN, unit: "ms" }.verdict(), "NO");
        assert_eq!((Goal::Open.verdict(), Goal::Open.to_string()), ("", String::new()));
    }

    #[test]
    fn the_table_holds_facts_and_rows() {
        let mut report = Report::new(vec![("kernel", "6.1".to_owned())]);
        let goal = Goal::AtMost { goal: 1.0, is: 0.4, unit: "ms" };
        let (measure, figure) = ("GET".to_owned(), "0.4 ms".to_owned());
        report.add(Row { measure, subject: "tokio", figure, floor: String::new(), goal });
        report.skip("PUT", "not installed");
        report.skip("PUT", "not installed");
        let text = report.to_string();
        assert!(text.ends_with("|\n\nSKIPPED: PUT: not installed\n"), "{text}");
        assert!(text.contains("kernel       6.1\n"), "{text}");
        assert!(text.contains("| GET     | tokio   | 0.4 ms |       | at most 1 ms | yes |\n"), "{text}");
    }
}
