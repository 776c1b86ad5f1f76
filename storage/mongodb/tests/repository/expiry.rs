//! Events that expire.

use argus_core::repository::{Expired, ExpiryCause, Maintenance, MaintenanceTask, Repository};
use argus_mongodb::{MongoOptions, MongoRepository, Retention};
use argus_testing::{NOW, steady};

use super::database::{Database, batch, events, options};

/// Runs all that is due. Returns what has expired.
fn maintain(repository: &mut MongoRepository) -> Vec<Expired> {
    let maintenance: &mut dyn Maintenance = repository.maintenance().unwrap();
    let mut task: Box<dyn MaintenanceTask> = maintenance.next_task(steady(NOW)).unwrap();
    while task.step(1_000).is_pending() {}
    maintenance.install(task).unwrap()
}

#[test]
fn old_events_go_and_later_ones_stay() {
    let Some(database) = Database::new() else { return };
    let hour = 3_600_000_000_000;
    let retention = Retention { age: Some(hour), bytes: None };
    let mut repository = database.open_with(MongoOptions { retention, ..options() });
    let drafts = [("a", 2 * hour), ("b", 0), ("a", hour + 5_000_000), ("c", hour - 5_000_000)];
    for (event_type, age) in drafts {
        let timestamp = argus_core::event::Timestamp::from_nanos(NOW.as_nanos() - age);
        let draft = argus_testing::Draft { event_type: event_type.into(), timestamp, payload: "1".into(), id: None };
        repository.commit(NOW, &[argus_testing::generate::batch(&[draft])]).unwrap();
    }
    let expired = maintain(&mut repository);
    let [Expired { events: 2, first, last, cause: ExpiryCause::Age }] = expired[..] else { panic!("{expired:?}") };
    assert_eq!((first.as_nanos(), last.as_nanos()), (NOW.as_nanos() - 2 * hour, NOW.as_nanos() - hour - 5_000_000));
    let left: Vec<u64> = events(&repository).into_iter().map(|event| event.seq).collect();
    assert_eq!(left, [4, 2]);
    let stats = repository.reader().take().unwrap().stats().unwrap();
    assert_eq!((stats.events, stats.event_types, stats.last_seq), (2, 2, 4));
}

#[test]
fn too_many_bytes_make_the_first_events_go() {
    let Some(database) = Database::new() else { return };
    let retention = Retention { age: None, bytes: Some(2_500) };
    let mut repository = database.open_with(MongoOptions { retention, ..options() });
    let payload = format!("\"{}\"", "x".repeat(1_000));
    for id in ["1", "2", "3", "4"] {
        repository.commit(NOW, &[batch(&[("a", &payload, Some(id))])]).unwrap();
    }
    let expired = maintain(&mut repository);
    assert_eq!(expired.iter().map(|expired| expired.events).sum::<u64>(), 2, "{expired:?}");
    let left: Vec<u64> = events(&repository).into_iter().map(|event| event.seq).collect();
    assert_eq!(left, [3, 4]);
    // Its id is new again.
    let receipts = repository.commit(NOW, &[batch(&[("a", "1", Some("1"))])]).unwrap();
    assert_eq!(receipts.first().map(|receipt| (receipt.stored, receipt.first_seq)), Some((1, 5)));
}
