//! How much memory a server needs under its settings. `docs/operations.md` explains the terms.

use std::fmt;

use crate::settings::Settings;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The program itself, its metrics and logs, and what the allocator holds back.
const BASE_BYTES: usize = 64 * MIB;

/// A thread that serves requests: its stack, and the largest body that it parses by itself.
const WORKER_BYTES: usize = 4 * MIB;

/// A connection that is idle or has a small request: a read buffer, a write buffer, and its state.
const CONNECTION_BYTES: usize = 32 * KIB;

/// What TLS adds to a connection: its state, a record that has not arrived completely, one that was decrypted, and a
/// piece of an answer that was encrypted.
const TLS_CONNECTION_BYTES: usize = (10 + 18 + 16 + 64) * KIB;

/// A connection at its largest has a piece of an answer, and a head in two buffers, each of which has doubled its
/// capacity.
const fn large_connection_bytes(head_bytes: usize) -> usize {
    64 * KIB + 4 * head_bytes
}

/// Most connections that may be this large at once. Further ones read less at a time, and accept only shorter heads.
pub(crate) const LARGE_CONNECTIONS: usize = 1024;

/// Bytes of memory that parsing takes for each byte of a batch's index.
const PARSING_PER_INDEX_BYTE: usize = 3;

/// Memory for one purpose, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The purpose, in one word.
    pub name: &'static str,
    /// The size.
    pub bytes: usize,
}

/// The most memory that a server takes, without the index of stored events. A repository in memory additionally takes
/// the size of its events.
#[derive(Clone, Debug)]
pub struct Plan(Vec<Term>);

impl Plan {
    /// The plan for these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let connections = settings.max_connections.get();
        let working = settings.working_bytes();
        // A body's texts, and the largest index that the memory for parsing allows.
        let batch = settings
            .max_body_bytes
            .saturating_add(working.saturating_sub(settings.max_body_bytes) / PARSING_PER_INDEX_BYTE);
        // The queue accepts a larger batch when it is empty.
        let group = settings.commit_queue_bytes.max(batch);
        let term = |name, count: usize, bytes: usize| Term { name, bytes: count.saturating_mul(bytes) };
        let repository = settings.backend.memory(&settings.repository, group);
        let repository = repository.into_iter().map(|(name, bytes)| Term { name, bytes });
        let server = [
            term("base", 1, BASE_BYTES),
            term("workers", settings.worker_threads().get(), WORKER_BYTES),
            Term {
                name: "connections",
                bytes: connections.saturating_mul(CONNECTION_BYTES).saturating_add(
                    connections.min(LARGE_CONNECTIONS) * large_connection_bytes(settings.shell.input_bytes()),
                ),
            },
            term("bodies", 1, settings.max_inflight_bytes),
            term("working", 1, working),
            // One group waits, and one is being committed, which then becomes a fresh segment.
            term("commits", 2, group),
            term("answers", 1, settings.max_answer_bytes),
            term("streams", 1, settings.stream_buffer_bytes),
        ];
        let tls = settings.tls.is_on().then(|| term("tls", connections, TLS_CONNECTION_BYTES));
        Self(server.into_iter().chain(tls).chain(repository).collect())
    }

    /// The sum of all terms, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().fold(0, |sum, term| sum.saturating_add(term.bytes))
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.0
    }
}

/// The sum and its terms, in whole MiB.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB (", self.bytes().div_ceil(MIB))?;
        for (index, Term { name, bytes }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {}", bytes.div_ceil(MIB))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn plan(arguments: &[&str]) -> Plan {
        let arguments = std::iter::once("argus-test").chain(arguments.iter().copied());
        Plan::of(&Settings::read("argus-test", arguments).unwrap())
    }

    #[test]
    fn the_total_is_the_sum_of_the_terms() {
        let plan = plan(&["--threads", "2"]);
        assert_eq!(plan.bytes(), plan.terms().iter().map(|term| term.bytes).sum::<usize>());
        assert_eq!(
            plan.to_string(),
            "2467 MiB (base 64, workers 8, connections 633, bodies 256, working 256, commits 256, answers 256, \
             streams 64, fresh 96, compaction 416, types 98, filters 64)"
        );
    }

    #[test]
    fn the_plan_follows_the_settings() {
        let large = plan(&["--threads", "2"]).bytes();
        let fewer = |arguments: &[&str]| large - plan(&[&["--threads", "2"], arguments].concat()).bytes();
        assert_eq!(fewer(&["--max-filter-bytes", "16MiB"]), 48 * MIB);
        assert_eq!(fewer(&["--max-answer-bytes", "16MiB", "--query-memory", "16MiB"]), 240 * MIB);
        assert_eq!(fewer(&["--max-connections", "1024"]), (10_000 - 1024) * CONNECTION_BYTES);
        // Half as much for bodies, half as much for parsing, and therefore smaller batches.
        assert_eq!(fewer(&["--max-inflight-bytes", "128MiB"]), 256 * MIB + 2 * (128 * MIB / 3 + 1));
        let most = usize::MAX / 4;
        assert!(plan(&["--max-inflight-bytes", &most.to_string()]).bytes() > most);
    }
}
