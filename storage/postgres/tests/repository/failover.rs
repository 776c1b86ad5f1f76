//! Another server becomes the primary, and a primary that does not accept writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argus_core::repository::{CommitError, Failure, Repository};
use argus_postgres::{Address, PostgresOptions, PostgresRepository};
use argus_servers::{Durability, PostgresServer};
use argus_testing::generate::batch_of_ids as batch;
use argus_testing::{NOW, StoredId};

use super::database::options;
use super::faults::{ids, open};

/// The commits before the failover, and those after it.
const COMMITS: u64 = 20;

/// The longest time until a repository has recovered.
const RECOVERY_TIME: Duration = Duration::from_secs(60);

/// With synchronous replication, all that was acknowledged is in the new primary, once, and numbers go on without a
/// gap.
#[test]
fn a_promoted_standby_goes_on_where_the_primary_stopped() {
    let Some(primary) = PostgresServer::for_test(None, Durability::Synced) else { return };
    let standby = primary.standby().unwrap();
    primary.set("synchronous_standby_names", "*").unwrap();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let address: Address = format!("postgres://postgres@{hosts}/postgres?sslmode=disable").parse().unwrap();
    let mut repository = open(&address, Duration::from_secs(5));
    let (committed, promoted_at) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    thread::scope(|scope| {
        scope.spawn(|| {
            while committed.load(Ordering::SeqCst) < COMMITS {
                thread::yield_now();
            }
            primary.kill();
            standby.promote().unwrap();
            promoted_at.store(committed.load(Ordering::SeqCst), Ordering::SeqCst);
        });
        while committed.load(Ordering::SeqCst) < promoted_at.load(Ordering::SeqCst).saturating_add(COMMITS) {
            commit_until_stored(&mut repository, committed.load(Ordering::SeqCst));
            committed.fetch_add(1, Ordering::SeqCst);
        }
    });
    let expected: Vec<_> =
        (0..committed.into_inner()).map(|number| (number + 1, StoredId::Given(id(number)))).collect();
    assert_eq!(ids(&repository), expected);
}

#[test]
fn a_read_only_primary_is_unavailable_until_it_accepts_writes() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    let address: Address = server.url("postgres").parse().unwrap();
    let mut repository = open(&address, Duration::from_secs(5));
    repository.commit(NOW, &[batch(&[Some("before")])]).unwrap();
    server.set("default_transaction_read_only", "on").unwrap();
    let error = refusal(&mut repository);
    assert!(matches!(error, CommitError::Unavailable { in_doubt: false, .. }), "{error:?}");
    assert!(matches!(repository.failure(), Some(Failure::Unavailable(_))));
    assert!(repository.recover().is_err(), "it still is read-only");
    let error = repository.commit(NOW, &[batch(&[Some("refused")])]).unwrap_err();
    assert!(matches!(error, CommitError::Unavailable { in_doubt: false, .. }), "{error:?}");
    let options = PostgresOptions { patience: Duration::from_secs(5), ..options() };
    let opened = PostgresRepository::open(address, options).unwrap();
    assert!(matches!(opened.failure(), Some(Failure::Unavailable(_))));
    server.set("default_transaction_read_only", "off").unwrap();
    repository.recover().unwrap();
    repository.commit(NOW, &[batch(&[Some("after")])]).unwrap();
    let stored = ["before", "after"].map(|id| StoredId::Given(id.into()));
    let found: Vec<_> = ids(&repository).into_iter().map(|(_, id)| id).collect();
    assert_eq!([found.first(), found.last()], stored.each_ref().map(Some));
    assert!(!found.contains(&StoredId::Given("refused".into())), "{found:?}");
}

/// Why a commit is refused. A connection that is open learns of a setting a moment after the server has.
fn refusal(repository: &mut PostgresRepository) -> CommitError {
    let deadline = Instant::now() + RECOVERY_TIME;
    while Instant::now() < deadline {
        if let Err(error) = repository.commit(NOW, &[batch(&[None])]) {
            return error;
        }
    }
    panic!("commits are accepted after {RECOVERY_TIME:?}");
}

fn id(number: u64) -> String {
    format!("event-{number}")
}

/// Commits an event as a client does that sends it again until it is acknowledged.
fn commit_until_stored(repository: &mut PostgresRepository, number: u64) {
    let deadline = Instant::now() + RECOVERY_TIME;
    loop {
        match repository.commit(NOW, &[batch(&[Some(&id(number))])]) {
            Ok(_) => return,
            Err(error) => assert!(matches!(error, CommitError::Unavailable { .. }), "{error:?}"),
        }
        while let Err(error) = repository.recover() {
            assert!(Instant::now() < deadline, "{error}");
        }
    }
}
