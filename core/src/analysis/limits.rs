//! What one question may take, and what it asks for beyond that.

use core::fmt;

/// What one question may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnalysisLimits {
    /// Most rows of an answer: groups, times the buckets of time that they appear in.
    pub groups_max: usize,
    /// Most bytes of memory for groups and what is known about them.
    pub bytes_max: usize,
}

impl AnalysisLimits {
    /// 100,000 rows and 64 MiB.
    pub const DEFAULT: Self = Self { groups_max: 100_000, bytes_max: 64 << 20 };
}

/// Why a question has no answer: it exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The answer would have more rows than [`AnalysisLimits::groups_max`].
    Groups {
        /// What the rows are for.
        of: Rows,
        /// The limit.
        max: usize,
    },
    /// The answer needs more memory than [`AnalysisLimits::bytes_max`].
    Memory {
        /// What the memory is for.
        of: Rows,
        /// The limit.
        max: usize,
    },
}

/// What a question has one row, or one entry in memory, for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A group.
    Groups,
    /// A bucket of time, and each group in it.
    Buckets,
    /// A bucket of time whether there are events in it or not.
    FilledBuckets,
    /// An event type.
    Types,
    /// A path.
    Paths,
    /// A value of `by`.
    Values,
    /// A period with the first event of a value of `by`.
    Cohorts,
}

impl Rows {
    /// How to ask for fewer of them: the parameters to change.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Groups => "use fewer `group_by` or `agg`, a path with fewer different values, or more filters",
            Self::Buckets => {
                "use a longer `interval`, a shorter time from `start` to `end`, fewer `group_by`, or more filters"
            }
            Self::FilledBuckets => {
                "use a longer `interval`, a shorter time from `start` to `end`, fewer `group_by`, or no `fill`"
            }
            Self::Types => "use `type` or `type[prefix]`, or more filters",
            Self::Paths => "use `type`, or more filters: the payloads have too many different paths",
            Self::Values => {
                "use a shorter time from `start` to `end`, more filters, or a path with fewer different values for `by`"
            }
            Self::Cohorts => "use a longer `interval`, fewer `periods`, or a shorter time from `start` to `end`",
        }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Groups => "groups",
            Self::Buckets | Self::FilledBuckets => "buckets of time, or groups in them,",
            Self::Types => "event types",
            Self::Paths => "paths",
            Self::Values => "values of `by`",
            Self::Cohorts => "cohorts",
        })
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups { of, max } => write!(f, "more {of} than the {max} that one answer may have"),
            Self::Memory { of, max } => write!(f, "so many {of} that they need more than {max} bytes of memory"),
        }
    }
}
