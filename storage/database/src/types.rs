//! The event types that the database has, as far as this process knows.

use std::collections::HashSet;

use argus_core::batch::Batch;
use argus_core::proposal::KnownTypes;

/// Types of which stored events are known to exist.
#[derive(Debug, Default)]
pub struct TypeCache {
    names: HashSet<Box<str>>,
    /// The number of removals at which this was true.
    removals: i64,
}

/// The types as the head of a transaction has them.
#[derive(Debug)]
pub struct TypesAt<'a> {
    /// Those that are known.
    pub cache: &'a TypeCache,
    /// How many types there are.
    pub count: usize,
    /// The most that there may be.
    pub limit: usize,
}

impl TypeCache {
    /// Whether it is true for the head with this number of removals. If not, it forgets everything: the last event of a
    /// type may be among those that were removed, by this process or another one.
    pub fn is_true_at(&mut self, removals: i64) -> bool {
        let is_true = self.removals == removals;
        if !is_true {
            self.names.clear();
            self.removals = removals;
        }
        is_true
    }

    /// The types of a group that are not known, each once.
    #[must_use]
    pub fn unknown<'b>(&self, group: &'b [Batch]) -> Vec<&'b str> {
        let names = group.iter().flat_map(Batch::type_names).filter(|name| !self.names.contains(*name));
        names.collect::<HashSet<_>>().into_iter().collect()
    }

    /// Whether there are events of this type.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Notes that there are events of these types.
    pub fn add<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.names.extend(names.into_iter().map(Box::from));
    }
}

impl KnownTypes for TypesAt<'_> {
    fn contains(&self, name: &[u8]) -> bool {
        str::from_utf8(name).is_ok_and(|name| self.cache.names.contains(name))
    }

    fn remaining(&self) -> usize {
        self.limit.saturating_sub(self.count)
    }

    fn limit(&self) -> usize {
        self.limit
    }
}
