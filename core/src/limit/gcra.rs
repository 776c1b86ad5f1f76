//! The Generic Cell Rate Algorithm.

use core::time::Duration;

use super::Quota;

/// How much of one quota is used.
///
/// It stores the *theoretical arrival time*: the time at which the bucket is full again, if nothing more is used. The
/// default is a full bucket. A time before the last one counts as the last one, so threads need not agree on the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    /// In the unit of [`Quota::scaled`].
    full_at: u128,
}

/// How much of a quota is left at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    quota: Quota,
    /// What is used and not paid off, in the unit of [`Quota::scaled`].
    used: u128,
}

impl Gcra {
    /// How much is left at this uptime.
    #[must_use]
    pub fn standing(&self, quota: &Quota, now: Duration) -> Standing {
        Standing { quota: *quota, used: self.full_at.saturating_sub(quota.scaled(now)) }
    }

    /// Whether there is one left at this uptime. An unused bucket always has one, so nothing is refused for ever.
    #[must_use]
    pub fn conforms(&self, quota: &Quota, now: Duration) -> bool {
        self.standing(quota, now).has_one()
    }

    /// Uses this much, even if less is left. The debt is paid off at the rate of the quota.
    pub fn charge(&mut self, quota: &Quota, now: Duration, amount: u64) {
        let cost = quota.unit_cost().saturating_mul(u128::from(amount));
        self.full_at = self.full_at.max(quota.scaled(now)).saturating_add(cost);
    }
}

impl Standing {
    /// The quota.
    #[must_use]
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Whether one can be used.
    #[must_use]
    pub fn has_one(&self) -> bool {
        self.used.saturating_add(self.quota.unit_cost()) <= self.quota.burst_cost()
    }

    /// What could be used, at most the burst.
    #[must_use]
    pub fn left(&self) -> u64 {
        let left = self.quota.burst_cost().saturating_sub(self.used) / self.quota.unit_cost();
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// The time until one can be used; zero if there is one left.
    #[must_use]
    pub fn next_in(&self) -> Duration {
        let cost = self.used.saturating_add(self.quota.unit_cost());
        self.quota.unscaled(cost.saturating_sub(self.quota.burst_cost()))
    }

    /// The time until the whole burst can be used.
    #[must_use]
    pub fn full_in(&self) -> Duration {
        self.quota.unscaled(self.used)
    }

    /// Takes into account what was used after this moment.
    pub(super) fn charge(&mut self, amount: u64) {
        self.used = self.used.saturating_add(self.quota.unit_cost().saturating_mul(u128::from(amount)));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use core::num::NonZeroU64;

    use super::*;
    use crate::limit::Rate;

    fn quota(rate: &str, burst: u64) -> Quota {
        Quota::new(Rate::parse_requests(rate).unwrap(), NonZeroU64::new(burst))
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (quota, mut meter) = (quota("10/s", 3), Gcra::default());
        let at = Duration::from_millis;
        let mut admit = |now| {
            let conforms = meter.conforms(&quota, now);
            if conforms {
                meter.charge(&quota, now, 1);
            }
            conforms
        };
        assert!([0, 0, 0].map(at).into_iter().all(&mut admit));
        assert!(!admit(at(99)));
        assert!(admit(at(100)));
        assert!(!admit(at(100)));
        assert!(!admit(at(0)), "a clock that goes back grants nothing");
        assert!([1000, 1000, 1000].map(at).into_iter().all(&mut admit));
        assert!(!admit(at(1000)), "what was not used does not add up beyond the burst");
    }

    #[test]
    fn a_debt_is_paid_off_at_the_rate() {
        let (quota, mut meter) = (quota("10/s", 1), Gcra::default());
        meter.charge(&quota, Duration::ZERO, 100);
        let standing = meter.standing(&quota, Duration::ZERO);
        let ten = Duration::from_secs(10);
        assert_eq!((standing.left(), standing.next_in(), standing.full_in()), (0, ten, ten));
        assert!(!meter.conforms(&quota, Duration::from_nanos(9_999_999_999)));
        assert!(meter.conforms(&quota, Duration::from_secs(10)));
    }

    #[test]
    fn extremes_do_not_overflow() {
        for rate in ["18446744073709551615/s", "1/h"] {
            for burst in [1, u64::MAX] {
                let (quota, mut meter) = (quota(rate, burst), Gcra::default());
                assert!(meter.conforms(&quota, Duration::ZERO));
                for now in [Duration::ZERO, Duration::MAX] {
                    meter.charge(&quota, now, u64::MAX);
                    assert!(meter.standing(&quota, now).full_in() > Duration::ZERO);
                }
            }
        }
    }
}
