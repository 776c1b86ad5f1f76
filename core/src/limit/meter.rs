//! The use of one client: its requests and its bytes.

use core::time::Duration;

use super::{Gcra, Quota, Quotas, Standing};

/// What a client has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    requests: Gcra,
    bytes: Gcra,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Bytes of request bodies.
    Bytes,
}

/// The answer of a [`Meter`] to a request: how much is left after it, for each quota that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Requests.
    pub requests: Option<Standing>,
    /// Bytes.
    pub bytes: Option<Standing>,
    /// Why the request is refused; `None` if it is admitted.
    pub refused: Option<Refused>,
}

/// The quota that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub unit: Unit,
    /// Its rate and burst.
    pub quota: Quota,
    /// The time until it admits a request.
    pub wait: Duration,
}

impl Meter {
    /// Admits a request and counts it, or refuses it and counts nothing.
    ///
    /// A request with a body needs one byte. How many it takes is not known before the body has arrived:
    /// [`charge`](Self::charge) them then. So a body that is larger than the burst is admitted too, and the client
    /// waits afterwards. Requests without a body do not wait for bytes.
    pub fn admit(&mut self, quotas: &Quotas, has_body: bool, now: Duration) -> Verdict {
        let tests = [
            (Unit::Requests, &self.requests, quotas.requests),
            (Unit::Bytes, &self.bytes, quotas.bytes.filter(|_| has_body)),
        ];
        let refusals = tests.into_iter().filter_map(|(unit, gcra, quota)| {
            let quota = quota.filter(|quota| !gcra.conforms(quota, now))?;
            Some(Refused { unit, quota, wait: gcra.standing(&quota, now).next_in() })
        });
        // The one that takes longest, so that the client does not come back too early.
        let refused = refusals.max_by_key(|refused| refused.wait);
        if let (None, Some(quota)) = (refused, &quotas.requests) {
            self.requests.charge(quota, now, 1);
        }
        let standing = |gcra: &Gcra, quota: Option<Quota>| quota.map(|quota| gcra.standing(&quota, now));
        Verdict {
            requests: standing(&self.requests, quotas.requests),
            bytes: standing(&self.bytes, quotas.bytes),
            refused,
        }
    }

    /// Counts bytes that have arrived.
    pub fn charge(&mut self, quotas: &Quotas, bytes: u64, now: Duration) {
        if let Some(quota) = &quotas.bytes {
            self.bytes.charge(quota, now, bytes);
        }
    }

    /// The time until nothing is left to pay off. After it, the meter is as good as a new one.
    #[must_use]
    pub fn full_in(&self, quotas: &Quotas, now: Duration) -> Duration {
        let rest = |gcra: &Gcra, quota: Option<Quota>| quota.map(|quota| gcra.standing(&quota, now).full_in());
        rest(&self.requests, quotas.requests).max(rest(&self.bytes, quotas.bytes)).unwrap_or_default()
    }
}

impl Verdict {
    /// Takes into account bytes that were charged after the verdict.
    pub fn charged(&mut self, bytes: u64) {
        if let Some(standing) = &mut self.bytes {
            standing.charge(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::limit::Rate;

    fn quotas() -> Quotas {
        Quotas {
            requests: Some(Quota::new(Rate::parse_requests("2/s").unwrap(), None)),
            bytes: Some(Quota::new(Rate::parse_bytes("100/s").unwrap(), None)),
        }
    }

    #[test]
    fn a_refused_request_counts_nothing() {
        let (quotas, mut meter, now) = (quotas(), Meter::default(), Duration::ZERO);
        assert!((0..2).all(|_| meter.admit(&quotas, true, now).refused.is_none()));
        let before = meter;
        let refused = meter.admit(&quotas, true, now).refused.unwrap();
        assert_eq!((refused.unit, refused.wait), (Unit::Requests, Duration::from_millis(500)));
        assert_eq!(meter, before);
    }

    #[test]
    fn a_debt_of_bytes_stops_bodies_alone() {
        let (quotas, mut meter, now) = (quotas(), Meter::default(), Duration::ZERO);
        assert!(meter.admit(&quotas, true, now).refused.is_none());
        meter.charge(&quotas, 250, now);
        let refused = meter.admit(&quotas, true, now).refused.unwrap();
        assert_eq!((refused.unit, refused.wait), (Unit::Bytes, Duration::from_millis(1510)));
        let verdict = meter.admit(&quotas, false, now);
        assert_eq!(verdict.refused, None);
        assert_eq!(verdict.requests.unwrap().left(), 0);
        assert!(meter.admit(&quotas, true, Duration::from_millis(1509)).refused.is_some());
        assert!(meter.admit(&quotas, true, Duration::from_millis(1510)).refused.is_none());
    }

    #[test]
    fn without_quotas_everything_is_admitted() {
        let mut meter = Meter::default();
        meter.charge(&Quotas::default(), u64::MAX, Duration::ZERO);
        assert_eq!(meter.admit(&Quotas::default(), true, Duration::ZERO), Verdict::default());
        assert_eq!(meter.full_in(&Quotas::default(), Duration::ZERO), Duration::ZERO);
    }
}
