//! Random choices that are the same on every machine: integers only, since `ln` and `pow` differ in the last bit.

/// A weighted choice of an index.
#[derive(Debug)]
pub(crate) struct Weighted {
    /// For each index, the sum of the weights up to and including it.
    sums: Vec<u64>,
}

impl Weighted {
    /// At least one weight must be above 0.
    pub(crate) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let sums = weights.into_iter().scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// Few indexes are frequent and most are rare, as in Zipf's law for users and products: the weight of the `n`th is
    /// 1 / (n + `flattening`). A larger `flattening` makes the first ones stand out less.
    pub(crate) fn zipf(count: u64, flattening: u64) -> Self {
        Self::new((1..=count).map(|rank| 1_000_000_000 / (rank + flattening)))
    }

    /// A random index.
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let drawn = rng.u64(0..self.total());
        self.sums.partition_point(|sum| *sum <= drawn)
    }

    /// The sum of the first `count` weights.
    pub(super) fn sum(&self, count: usize) -> u64 {
        count.checked_sub(1).and_then(|last| self.sums.get(last)).copied().unwrap_or(0)
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.sum(self.sums.len())
    }
}

/// True with this probability per mille.
pub(crate) fn happens(rng: &mut fastrand::Rng, per_mille: u32) -> bool {
    rng.u32(0..1000) < per_mille
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_without_weight_is_never_drawn() {
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
