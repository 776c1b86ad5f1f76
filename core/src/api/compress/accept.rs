//! `Accept-Encoding` (RFC 9110, section 12.5.3).

use super::super::RequestHead;
use super::super::fields::{members, parse_weighted};
use super::{AnswerCoding, Negotiated};

/// The codings in the order of the server's preference: zstd is faster, and its result is smaller.
const PREFERENCE: [AnswerCoding; 2] = [AnswerCoding::Zstd, AnswerCoding::Gzip];

/// The weights of the codings, in thousandths; `None` for those that are not listed.
#[derive(Default)]
struct Weights {
    gzip: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Negotiated {
    /// The coding with the highest weight. Among equals, one that compresses comes first. An answer without a coding
    /// is the last resort unless the client gives it a weight. If the client excludes that as well, and everything
    /// that the server has, it gets one nevertheless, as section 12.4.1 allows.
    pub(in super::super) fn of(head: &RequestHead<'_>) -> Self {
        let weights = Weights::read(head);
        let (mut best, mut best_weight) = (None, 0);
        for coding in PREFERENCE {
            let named = match coding {
                AnswerCoding::Gzip => weights.gzip,
                AnswerCoding::Zstd => weights.zstd,
            };
            let weight = named.or(weights.any).unwrap_or(0);
            if weight > best_weight {
                (best, best_weight) = (Some(coding), weight);
            }
        }
        if weights.identity.is_some_and(|weight| weight > best_weight) {
            best = None;
        }
        let is_identity_excluded = weights.identity.or(weights.any) == Some(0);
        Self { coding: best, short_too: best.is_some() && is_identity_excluded }
    }
}

impl Weights {
    /// Skips unknown codings and invalid members. Of several weights of one coding, the highest counts.
    fn read(head: &RequestHead<'_>) -> Self {
        let mut weights = Self::default();
        for member in members(head, "accept-encoding") {
            let Some((name, weight)) = parse_weighted(&member) else { continue };
            let slot = match name.as_str() {
                "gzip" | "x-gzip" => &mut weights.gzip,
                "zstd" => &mut weights.zstd,
                "identity" => &mut weights.identity,
                "*" => &mut weights.any,
                _ => continue,
            };
            *slot = Some(slot.map_or(weight, |earlier| earlier.max(weight)));
        }
        weights
    }
}
