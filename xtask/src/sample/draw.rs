//! Draws that give the same on every machine: whole numbers only, since `ln` and `pow` differ in their last bit.

/// A choice among as many things as there are weights, each as likely as its weight says.
#[derive(Debug)]
pub(super) struct Weighted {
    /// The sum of all weights up to and with each.
    sums: Vec<u64>,
}

impl Weighted {
    /// At least one weight must not be 0.
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let sums = weights.into_iter().scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// A few are drawn often and most of them seldom, as Zipf's law has it for users and products: the weight of the
    /// `n`th is 1 / (n + `flattening`). The larger that is, the less the first ones stand out.
    pub(super) fn zipf(count: u64, flattening: u64) -> Self {
        Self::new((1..=count).map(|rank| 1_000_000_000 / (rank + flattening)))
    }

    /// The index of one of them.
    pub(super) fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let drawn = rng.u64(0..self.total());
        self.sums.partition_point(|sum| *sum <= drawn)
    }

    /// The weights of the first `count` of them together.
    pub(super) fn sum(&self, count: usize) -> u64 {
        count.checked_sub(1).and_then(|last| self.sums.get(last)).copied().unwrap_or(0)
    }

    /// All weights together.
    pub(super) fn total(&self) -> u64 {
        self.sum(self.sums.len())
    }
}

/// Whether something happens that does so `per_mille` times in a thousand.
pub(super) fn happens(rng: &mut fastrand::Rng, per_mille: u32) -> bool {
    rng.u32(0..1000) < per_mille
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_nothing_is_never_drawn() {
        let mut rng = fastrand::Rng::with_seed(1);
        let weighted = Weighted::new([0, 3, 0, 1, 0]);
        let mut drawn = [0; 5];
        for _ in 0..4000 {
            drawn.get_mut(weighted.draw(&mut rng)).map(|count| *count += 1).expect("an index of a weight");
        }
        assert_eq!((drawn[0], drawn[2], drawn[4]), (0, 0, 0));
        assert!((2700..3300).contains(&drawn[1]), "{drawn:?}");
    }

    #[test]
    fn the_first_are_drawn_more_often_than_the_last() {
        let mut rng = fastrand::Rng::with_seed(1);
        let weighted = Weighted::zipf(1000, 10);
        let first = (0..10_000).filter(|_| weighted.draw(&mut rng) < 100).count();
        assert!((4000..6500).contains(&first), "{first}");
    }
}
