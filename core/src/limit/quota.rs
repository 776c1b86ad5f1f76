//! What a client may use.

use core::num::NonZeroU64;
use core::time::Duration;

use super::Rate;

/// A rate, and how much of it may be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    rate: Rate,
    burst: NonZeroU64,
}

/// The quotas of a client. Without one, there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Requests.
    pub requests: Option<Quota>,
    /// Bytes of request bodies, as they come over the wire.
    pub bytes: Option<Quota>,
}

impl Quota {
    /// A quota of this rate. By default the burst is the amount of the rate: `600/m` allows 600 requests at once, and
    /// then ten in each second.
    #[must_use]
    pub fn new(rate: Rate, burst: Option<NonZeroU64>) -> Self {
        Self { rate, burst: burst.unwrap_or(rate.amount()) }
    }

    /// How much is granted in which time.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The most that can be used at once.
    #[must_use]
    pub fn burst(&self) -> NonZeroU64 {
        self.burst
    }

    /// The time in which the whole burst is granted anew, in seconds, rounded up.
    #[must_use]
    pub fn window_seconds(&self) -> u64 {
        let period = u128::from(self.rate.period().as_secs());
        let seconds = (u128::from(self.burst.get()) * period).div_ceil(u128::from(self.rate.amount().get()));
        u64::try_from(seconds).unwrap_or(u64::MAX)
    }

    /// An uptime in the unit of this quota, in which the rate grants one in each [`unit_cost`](Self::unit_cost): parts
    /// of a nanosecond, as many as the rate has in its amount. So all arithmetic is exact. Uptimes beyond 584 years are
    /// cut.
    pub(super) fn scaled(&self, time: Duration) -> u128 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        u128::from(nanos) * u128::from(self.rate.amount().get())
    }

    /// The time for one request or byte.
    pub(super) fn unit_cost(&self) -> u128 {
        self.rate.period().as_nanos()
    }

    /// The time for the whole burst.
    pub(super) fn burst_cost(&self) -> u128 {
        self.unit_cost().saturating_mul(u128::from(self.burst.get()))
    }

    /// The inverse of [`scaled`](Self::scaled), rounded up.
    pub(super) fn unscaled(&self, time: u128) -> Duration {
        let nanos = time.div_ceil(u128::from(self.rate.amount().get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Quotas {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { requests, bytes } = self;
        requests.is_none() && bytes.is_none()
    }
}
