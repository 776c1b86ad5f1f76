//! A week of a web shop: visitors browse, fill carts, buy, and return some products.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt::{self, Display, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;

use super::{
    catalogue::{COUNTRIES, DAYS, HOURS, PAYMENTS, PRODUCTS, Product, QUERIES, REASONS, REFERRERS},
    draw::{Weighted, happens},
};
use crate::flags::SampleOptions;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Minutes of the week in which sessions start.
const MINUTES: u64 = 7 * 24 * 60;

// Probabilities, per mille.
/// A visitor continues with one more action.
const STAYS: u32 = 780;
/// A visitor is signed in from the start; in the app everybody is.
const SIGNED_IN: u32 = 350;
/// A filled cart reaches the checkout.
const CHECKS_OUT: u32 = 450;
/// A checkout is paid.
const PAYS: u32 = 720;
/// The answer to a purchase is lost, so the client sends it again.
const SENT_TWICE: u32 = 15;
/// A purchase is returned.
const REFUNDED: u32 = 90;
/// A session in the app has no connection.
const OFFLINE: u32 = 25;

/// The stream, line by line, in the order in which the events reach the server.
///
/// Only events that have not arrived are in memory, so a stream can have any length.
#[derive(Debug)]
pub(super) struct Shop {
    rng: Rng,
    /// Milliseconds since the Unix epoch.
    start: u64,
    /// The number of events in the stream.
    events: u64,
    /// The number of events created so far.
    made: u64,
    /// The minute in which sessions start now.
    minute: u64,
    /// How busy each minute of the week is.
    rhythm: Weighted,
    customers: Weighted,
    products: Weighted,
    sessions: u64,
    orders: u64,
    /// Events that have not reached the server yet.
    under_way: BinaryHeap<Reverse<Arrival>>,
}

/// An event on its way. Its number orders events that arrive at the same time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: u64,
    number: u64,
    line: String,
}

/// A visit to the shop.
#[derive(Debug)]
struct Session {
    number: u64,
    /// `None` if the visitor is not signed in.
    customer: Option<usize>,
    device: Device,
    country: &'static str,
    referrer: &'static str,
    /// By how much the device's clock is ahead, in milliseconds.
    clock_ahead: i64,
    /// How long its events wait for a connection, in milliseconds.
    delay: u64,
    now: u64,
    cart: Vec<(Product, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Desktop,
    Phone,
    /// The shop's own app, which sends times as Unix milliseconds.
    App,
}

impl Shop {
    pub(super) fn new(options: &SampleOptions) -> Self {
        let start = options.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let rhythm = DAYS.iter().flat_map(|day| HOURS.iter().flat_map(move |hour| [day * hour; 60]));
        let customers = (options.events / 20).clamp(100, 1_000_000);
        Self {
            rng: Rng::with_seed(options.seed),
            start: u64::try_from(start.as_millis()).unwrap_or(u64::MAX),
            events: options.events,
            made: 0,
            minute: 0,
            rhythm: Weighted::new(rhythm),
            // The most frequent customer comes several times a day.
            customers: Weighted::zipf(customers, customers / 10),
            products: Weighted::zipf(PRODUCTS, 10),
            sessions: 0,
            orders: 100_000,
            under_way: BinaryHeap::new(),
        }
    }

    /// Starts sessions in this minute, until the stream has the week's average number of events for this time.
    fn next_minute(&mut self) {
        let begin = self.start + self.minute * MINUTE;
        self.minute += 1;
        let passed = usize::try_from(self.minute).unwrap_or(usize::MAX);
        let due = u128::from(self.events) * u128::from(self.rhythm.sum(passed)) / u128::from(self.rhythm.total());
        while u128::from(self.made) < due {
            let at = begin + self.rng.u64(0..MINUTE);
            self.visit(at);
        }
    }

    /// One session from its first page to its end.
    fn visit(&mut self, begin: u64) {
        let mut session = self.arrive(begin);
        let page = *self.rng.choice(&["/", "/", "/sale", "/new", "/shoes", "/jackets"]).expect("the list is not empty");
        self.send(&session, "page_view", None, format_args!("\"page\":\"{page}\""));
        let mut looked_at = None;
        while happens(&mut self.rng, STAYS) {
            session.now += self.rng.u64(3 * SECOND..=40 * SECOND) + self.rng.u64(0..=50 * SECOND);
            match (self.rng.u32(0..100), looked_at) {
                (0..45, _) => looked_at = Some(self.look(&session)),
                (45..55, _) => self.search(&session),
                (55..72, Some(product)) => {
                    self.add(&mut session, product);
                    looked_at = None;
                }
                (72..78, _) if !session.cart.is_empty() => self.remove(&mut session),
                (..) => {
                    let page =
                        *self.rng.choice(&["/", "/sale", "/shoes", "/bags", "/help"]).expect("the list is not empty");
                    self.send(&session, "page_view", None, format_args!("\"page\":\"{page}\""));
                }
            }
        }
        if !session.cart.is_empty() && happens(&mut self.rng, CHECKS_OUT) {
            self.check_out(&mut session);
        }
    }

    fn arrive(&mut self, begin: u64) -> Session {
        self.sessions += 1;
        let rng = &mut self.rng;
        let device = match rng.u32(0..100) {
            0..38 => Device::Desktop,
            38..75 => Device::Phone,
            _ => Device::App,
        };
        let app = device == Device::App;
        // Users of the app are signed in.
        let customer = (app || happens(rng, SIGNED_IN)).then(|| self.customers.draw(rng));
        // Some clocks are wrong by minutes, and a few, set by hand, by hours.
        let clock_ahead = match rng.u32(0..1000) {
            0..25 if app => rng.i64(-10 * 60_000..=10 * 60_000),
            25..28 if app => rng.i64(-12..=12) * 3_600_000,
            _ => 0,
        };
        // The app keeps events while it has no connection.
        let delay = if app && happens(rng, OFFLINE) { rng.u64(10 * MINUTE..20 * HOUR) } else { 0 };
        Session {
            number: self.sessions,
            customer,
            device,
            country: pick(rng, COUNTRIES),
            referrer: if app { "app" } else { pick(rng, REFERRERS) },
            clock_ahead,
            delay,
            now: begin,
            cart: Vec::new(),
        }
    }

    fn look(&mut self, session: &Session) -> Product {
        let product = Product::new(self.products.draw(&mut self.rng) as u64 + 1);
        self.send(session, "product_view", None, format_args!("{product}"));
        product
    }

    fn search(&mut self, session: &Session) {
        let query = *self.rng.choice(QUERIES).expect("the table of queries is not empty");
        let results = if happens(&mut self.rng, 60) { 0 } else { self.rng.u64(1..=48) };
        self.send(session, "search", None, format_args!("\"query\":\"{query}\",\"results\":{results}"));
    }

    fn add(&mut self, session: &mut Session, product: Product) {
        let quantity = if happens(&mut self.rng, 150) { self.rng.u64(2..=4) } else { 1 };
        session.cart.push((product, quantity));
        self.send(session, "cart_add", None, format_args!("{product},\"quantity\":{quantity}"));
    }

    fn remove(&mut self, session: &mut Session) {
        let index = self.rng.usize(0..session.cart.len());
        let (product, quantity) = session.cart.swap_remove(index);
        self.send(session, "cart_remove", None, format_args!("{product},\"quantity\":{quantity}"));
    }

    fn check_out(&mut self, session: &mut Session) {
        let total: u64 = session.cart.iter().map(|(product, quantity)| product.price * quantity).sum();
        let items = session.cart.len();
        let total = Cents(total);
        // A checkout needs an account.
        session.customer.get_or_insert_with(|| self.customers.draw(&mut self.rng));
        session.now += self.rng.u64(5 * SECOND..60 * SECOND);
        self.send(session, "checkout", None, format_args!("\"items\":{items},\"total\":{total}"));
        if !happens(&mut self.rng, PAYS) {
            return;
        }
        session.now += self.rng.u64(20 * SECOND..4 * MINUTE);
        self.orders += 1;
        let order = self.orders;
        let payment = pick(&mut self.rng, PAYMENTS);
        let mut bought = String::new();
        for (product, quantity) in &session.cart {
            let comma = if bought.is_empty() { "" } else { "," };
            write!(bought, "{comma}{{{product},\"quantity\":{quantity}}}").expect("a String takes all that is written");
        }
        let paid = format!("\"order\":\"o-{order}\",\"items\":[{bought}],\"total\":{total},\"payment\":\"{payment}\"");
        let id = format!("o-{order}");
        self.send(session, "purchase", Some(&id), format_args!("{paid}"));
        if happens(&mut self.rng, SENT_TWICE) {
            let again = Session { delay: session.delay + self.rng.u64(2 * SECOND..30 * SECOND), ..session.again() };
            self.send(&again, "purchase", Some(&id), format_args!("{paid}"));
        }
        if happens(&mut self.rng, REFUNDED) {
            // Refunds come from the shop's own system, days later, so neither late nor with a wrong clock.
            let now = session.now + self.rng.u64(8 * HOUR..4 * DAY);
            let reason = *self.rng.choice(REASONS).expect("the table of reasons is not empty");
            if now < self.start + MINUTES * MINUTE {
                let desk = Session { now, delay: 0, clock_ahead: 0, device: Device::Desktop, ..session.again() };
                let refund = format_args!("\"order\":\"o-{order}\",\"total\":{total},\"reason\":\"{reason}\"");
                self.send(&desk, "refund", Some(&format!("{id}-refund")), refund);
            }
        }
    }

    /// Sends an event, unless there are enough.
    fn send(&mut self, session: &Session, event_type: &str, id: Option<&str>, details: fmt::Arguments<'_>) {
        if self.made == self.events {
            return;
        }
        let mut line = String::with_capacity(320);
        let written = write_event(&mut line, session, event_type, id, details);
        written.expect("a String takes all that is written");
        let travel = self.rng.u64(5..400);
        let at = session.now + session.delay + travel;
        self.under_way.push(Reverse(Arrival { at, number: self.made, line }));
        self.made += 1;
    }
}

impl Iterator for Shop {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            // Later sessions send nothing before the minute in which they start.
            let reached = self.start + self.minute * MINUTE;
            let has_arrived = self.under_way.peek().is_some_and(|Reverse(first)| first.at < reached);
            if has_arrived || self.minute == MINUTES {
                return self.under_way.pop().map(|Reverse(first)| first.line);
            }
            self.next_minute();
        }
    }
}

fn write_event(
    line: &mut String,
    session: &Session,
    event_type: &str,
    id: Option<&str>,
    details: fmt::Arguments<'_>,
) -> fmt::Result {
    line.push('{');
    if let Some(id) = id {
        write!(line, "\"id\":\"{id}\",")?;
    }
    write!(line, "\"event_type\":\"{event_type}\",\"timestamp\":")?;
    let shown = session.now.saturating_add_signed(session.clock_ahead);
    match session.device {
        Device::App => write!(line, "{shown}")?,
        Device::Desktop | Device::Phone => write!(line, "\"{}\"", humantime::format_rfc3339_millis(time(shown)))?,
    }
    line.push_str(",\"payload\":{");
    match session.customer {
        Some(customer) => write!(line, "\"user\":\"u-{}\"", customer + 1)?,
        None => line.push_str("\"user\":null"),
    }
    let device = session.device.name();
    let Session { number, country, referrer, .. } = session;
    write!(line, ",\"session\":\"s-{number}\",\"device\":\"{device}\",\"country\":\"{country}\"")?;
    writeln!(line, ",\"referrer\":\"{referrer}\",{details}}}}}")
}

fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// A random name with the probability of its share.
fn pick(rng: &mut Rng, shares: &[(&'static str, u64)]) -> &'static str {
    let index = Weighted::new(shares.iter().map(|(_, share)| *share)).draw(rng);
    shares.get(index).map(|(name, _)| *name).expect("the draw is an index of the table")
}

impl Session {
    /// The same session for a repeated event; the cart stays where it is.
    fn again(&self) -> Self {
        Self { cart: Vec::new(), ..*self }
    }
}

impl Device {
    fn name(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Phone => "phone",
            Self::App => "app",
        }
    }
}

/// A price as JSON.
#[derive(Clone, Copy, Debug)]
struct Cents(u64);

impl Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// The members about a product in every payload.
impl Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, category, price } = self;
        write!(f, "\"product\":\"p-{number}\",\"category\":\"{category}\",\"price\":{}", Cents(*price))
    }
}
