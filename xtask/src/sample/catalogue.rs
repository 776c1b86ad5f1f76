//! Tables of products, visitors and busy hours, so that the stream looks like a real shop's.

/// Categories: name, lowest and highest price in cents.
pub(super) const CATEGORIES: &[(&str, u64, u64)] = &[
    ("shoes", 3_990, 18_990),
    ("shirts", 1_490, 5_990),
    ("jackets", 4_990, 34_900),
    ("bags", 2_490, 14_900),
    ("socks", 490, 1_990),
    ("hats", 1_290, 4_490),
    ("sports", 990, 24_900),
    ("outlet", 290, 4_990),
];

/// Products in the catalogue.
pub(super) const PRODUCTS: u64 = 400;

/// Countries of visitors, with their share per mille.
pub(super) const COUNTRIES: &[(&str, u64)] =
    &[("DE", 420), ("FR", 160), ("NL", 110), ("AT", 90), ("IT", 80), ("ES", 60), ("GB", 50), ("PL", 20), ("US", 10)];

/// Referrers, with their share per mille.
pub(super) const REFERRERS: &[(&str, u64)] =
    &[("search", 400), ("direct", 250), ("newsletter", 120), ("social", 130), ("ad", 100)];

/// Search queries.
pub(super) const QUERIES: &[&str] = &[
    "red shoes",
    "winter jacket",
    "running shoes",
    "gift",
    "socks wool",
    "backpack",
    "sale",
    "rain jacket men",
    "white shirt",
    "hat",
    "trail running",
    "leather bag",
];

/// Payment methods, with their share per mille.
pub(super) const PAYMENTS: &[(&str, u64)] = &[("card", 520), ("paypal", 300), ("invoice", 150), ("gift_card", 30)];

/// Reasons of refunds.
pub(super) const REASONS: &[&str] = &["too_small", "too_large", "damaged", "changed_mind", "not_as_described"];

/// How busy each hour of the day is, in UTC: quiet at night, a peak at noon, the highest in the evening.
pub(super) const HOURS: [u64; 24] =
    [14, 8, 5, 4, 4, 7, 16, 30, 42, 50, 55, 62, 68, 60, 54, 53, 57, 66, 80, 96, 100, 84, 52, 28];

/// How busy each day is. With the default start, the last two are a weekend.
pub(super) const DAYS: [u64; 7] = [100, 96, 98, 102, 110, 132, 140];

/// A product, determined by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) number: u64,
    pub(super) category: &'static str,
    /// In cents.
    pub(super) price: u64,
}

impl Product {
    /// The same number gives the same product in every stream.
    pub(super) fn new(number: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(number);
        let (category, cheapest, dearest) = *rng.choice(CATEGORIES).expect("the table of categories is not empty");
        // Prices end in 90 cents, as shops like it.
        let price = rng.u64(cheapest..=dearest) / 100 * 100 + 90;
        Self { number, category, price }
    }
}
