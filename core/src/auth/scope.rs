//! What a key is for.

crate::listed::listed! {
    /// What a request needs its key for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Scope {
        /// Store events.
        Write,
        /// Find events.
        Read,
        /// Follow the live stream.
        Stream,
        /// Erase events.
        Erase,
        /// Read the metrics.
        Metrics,
    }
}

impl Scope {
    /// The name in the file of keys and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Stream => "stream",
            Self::Erase => "erase",
            Self::Metrics => "metrics",
        }
    }

    /// The scope with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether the scope is in the set.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    /// Adds a scope. Returns whether it is new.
    pub fn insert(&mut self, scope: Scope) -> bool {
        let is_new = !self.contains(scope);
        self.0 |= Self::bit(scope);
        is_new
    }

    /// The scopes in the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_inserted() {
        let mut scopes = Scopes::default();
        assert!(scopes.insert(Scope::Read));
        assert!(!scopes.insert(Scope::Read));
        assert!(scopes.insert(Scope::Metrics));
        assert!(scopes.iter().eq([Scope::Read, Scope::Metrics]));
        assert!(Scope::ALL.into_iter().all(|scope| Scope::named(scope.as_str()) == Some(scope)));
        assert_eq!(Scope::named("admin"), None);
    }
}
