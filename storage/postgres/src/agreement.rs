//! Asks a real `PostgreSQL` whether it accepts the documents, and whether the predicates select what the core selects.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::event::Payload;
use argus_core::query::{Conditions, PayloadFilter, Test};
use argus_servers::TestPostgres;
use argus_testing::{Random, generate, nasty};
use tokio_postgres::{Client, NoTls};

use super::document::document;
use super::narrowing::narrowing;

/// Pairs of a document and a predicate that are asked about one by one.
const PAIRS: usize = 8_000;
/// How many pairs one statement has.
const BATCH: usize = 4_000;
/// Documents in a table with an index, and how many predicates are asked about all of them.
const ROWS: usize = 2_000;
const PREDICATES: usize = 100;

/// A document, a predicate, and whether the core says that the predicate holds.
#[derive(Debug, Default)]
struct Pairs {
    documents: Vec<String>,
    predicates: Vec<String>,
    expected: Vec<bool>,
}

#[test]
fn postgresql_agrees() {
    let Some(server) = TestPostgres::for_test() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        check_pairs(&client, &mut Random::seeded(16)).await;
        check_index(&client, &mut Random::seeded(17)).await;
    });
}

/// One by one, without an index: the database accepts each document, and its answer is exactly that of the core to the
/// conditions that narrow.
async fn check_pairs(client: &Client, random: &mut Random<'_>) {
    let (mut refused, mut held) = (0, 0);
    for _ in 0..PAIRS / BATCH {
        let mut pairs = Pairs::default();
        while pairs.documents.len() < BATCH {
            let payload = payload(random);
            let conditions = conditions(random, &payload);
            let payload = Payload::parse(&payload).unwrap();
            let Some(document) = document(payload) else {
                refused += 1;
                continue;
            };
            let Some(predicate) = narrowing(&conditions) else {
                assert_eq!(conditions.iter().filter(|condition| narrows(condition)).count(), 0);
                continue;
            };
            let narrowing = conditions.iter().filter(|condition| narrows(condition)).cloned().collect::<Vec<_>>();
            let expected = matches(&narrowing, payload);
            assert!(expected || !matches(&conditions, payload), "{conditions:?} of {document}");
            held += usize::from(expected);
            pairs.documents.push(document.to_owned());
            pairs.predicates.push(predicate);
            pairs.expected.push(expected);
        }
        check_batch(client, &pairs).await;
    }
    assert!(held > PAIRS / 20, "{held} of {PAIRS} predicates held");
    assert!(refused > PAIRS / 20, "{refused} payloads were no documents, beside {PAIRS} that were");
}

async fn check_batch(client: &Client, pairs: &Pairs) {
    let ask = "SELECT i FROM unnest($1::text[], $2::text[], $3::bool[]) WITH ORDINALITY AS p(document, path, holds, i) \
               WHERE (document::jsonb @@ path::jsonpath) IS DISTINCT FROM holds";
    let Pairs { documents, predicates, expected } = pairs;
    let Err(error) = client.query(ask, &[documents, predicates, expected]).await.map(|rows| {
        if let Some(row) = rows.first() {
            let index = usize::try_from(row.get::<_, i64>(0)).unwrap() - 1;
            let pair = (documents.get(index), predicates.get(index), expected.get(index));
            panic!("the database disagrees {} times, first about {pair:#?}", rows.len());
        }
    }) else {
        return;
    };
    for (document, predicate) in documents.iter().zip(predicates) {
        if let Err(error) = client.query("SELECT $1::text::jsonb @@ $2::text::jsonpath", &[document, predicate]).await {
            panic!("the database refuses {predicate} of {document}: {error:?}");
        }
    }
    panic!("{error:?}");
}

/// All at once, with an index: it finds the same documents.
async fn check_index(client: &Client, random: &mut Random<'_>) {
    let mut payloads = Vec::new();
    while payloads.len() < ROWS {
        let payload = payload(random);
        payloads.extend(document(Payload::parse(&payload).unwrap()).map(str::to_owned));
    }
    client
        .batch_execute(
            "CREATE TEMPORARY TABLE documents (document jsonb); \
             CREATE INDEX ON documents USING gin (document jsonb_path_ops); \
             SET enable_seqscan = off",
        )
        .await
        .unwrap();
    client.execute("INSERT INTO documents SELECT p::jsonb FROM unnest($1::text[]) p", &[&payloads]).await.unwrap();
    let ask = client.prepare("SELECT count(*) FROM documents WHERE document @@ $1::text::jsonpath").await.unwrap();
    let explain = "EXPLAIN SELECT FROM documents WHERE document @@ $1::text::jsonpath";
    let (mut asked, mut found) = (0, 0);
    while asked < PREDICATES {
        let payload = payloads.get(random.index(ROWS)).unwrap();
        let conditions: Vec<PayloadFilter> = conditions(random, payload).into_iter().filter(narrows).collect();
        let Some(predicate) = narrowing(&conditions) else { continue };
        let plan: String =
            client.query(explain, &[&predicate]).await.unwrap().iter().map(|row| row.get::<_, String>(0)).collect();
        assert!(plan.contains("Bitmap Index Scan") && plan.contains("Index Cond"), "{predicate}: {plan}");
        let count = client.query_one(&ask, &[&predicate]).await.unwrap().get::<_, i64>(0);
        let mut compiled = Conditions::compile(&conditions);
        let holds = |payload: &&String| compiled.evaluate(Payload::parse(payload).unwrap()).matches;
        let expected = payloads.iter().filter(holds).count();
        assert_eq!(usize::try_from(count).unwrap(), expected, "{predicate}");
        asked += 1;
        found += expected;
    }
    assert!(found > PREDICATES, "{found} documents were found by {PREDICATES} predicates");
}

fn payload(random: &mut Random<'_>) -> String {
    if random.one_in(2) { generate::payload(random) } else { nasty::payload(random) }
}

/// One to three conditions, most of which narrow, and many of which hold for this payload.
fn conditions(random: &mut Random<'_>, payload: &str) -> Vec<PayloadFilter> {
    (0..random.pick(&[1, 1, 1, 2, 3])).map(|_| condition(random, payload)).collect()
}

fn condition(random: &mut Random<'_>, payload: &str) -> PayloadFilter {
    let condition = match random.below(8) {
        0..=4 => nasty::condition_in(random, payload),
        5 => Some(nasty::condition(random)),
        _ => None,
    };
    let condition = condition.unwrap_or_else(|| generate::payload_filter(random));
    if random.one_in(8) { condition } else { equality(condition) }
}

/// The same condition with a test for equality, if it has an operand.
fn equality(condition: PayloadFilter) -> PayloadFilter {
    let PayloadFilter { path, test } = condition;
    let test = match test {
        Test::Eq(operand)
        | Test::Ne(operand)
        | Test::Gt(operand)
        | Test::Gte(operand)
        | Test::Lt(operand)
        | Test::Lte(operand) => Test::Eq(operand),
        Test::Exists(_) | Test::Prefix(_) | Test::Contains(_) => test,
    };
    PayloadFilter { path, test }
}

/// Paths here are short.
fn narrows(condition: &PayloadFilter) -> bool {
    matches!(condition.test, Test::Eq(_))
}

fn matches(conditions: &[PayloadFilter], payload: Payload<'_>) -> bool {
    Conditions::compile(conditions).evaluate(payload).matches
}
