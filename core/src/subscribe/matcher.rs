//! Which groups want an event.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::GroupId;
use crate::event::{Event, EventId};
use crate::query::{Conditions, Filter, TypeTest};

/// If more types than this are wanted, the feed reads all events. To look for a type costs a scan about as much as to
/// read a few events.
const SCANNED_TYPES_MAX: usize = 256;

/// The compiled filters of all groups.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    groups: BTreeMap<GroupId, Compiled>,
    /// The groups that want exact types only, by these types. An event costs nothing for those of other types.
    by_type: BTreeMap<Box<str>, Vec<GroupId>>,
    /// All other groups.
    any_type: Vec<GroupId>,
}

#[derive(Debug)]
struct Compiled {
    filter: Arc<Filter>,
    conditions: Conditions,
}

impl Matcher {
    pub(super) fn add(&mut self, group: GroupId, filter: Arc<Filter>) {
        match exact_types(&filter) {
            None => self.any_type.push(group),
            Some(types) => types.for_each(|name| {
                // A filter may name a type twice.
                let groups = self.by_type.entry(name.into()).or_default();
                if groups.last() != Some(&group) {
                    groups.push(group);
                }
            }),
        }
        let conditions = Conditions::compile(&filter.payload);
        self.groups.insert(group, Compiled { filter, conditions });
    }

    pub(super) fn remove(&mut self, group: GroupId) {
        let Some(Compiled { filter, .. }) = self.groups.remove(&group) else { return };
        match exact_types(&filter) {
            None => self.any_type.retain(|other| *other != group),
            Some(types) => types.for_each(|name| {
                if let Some(groups) = self.by_type.get_mut(name) {
                    groups.retain(|other| *other != group);
                    if groups.is_empty() {
                        self.by_type.remove(name);
                    }
                }
            }),
        }
    }

    /// The types that a scan for all groups must yield, if they are few; `None` for all.
    pub(super) fn types(&self) -> Option<Vec<TypeTest>> {
        if self.by_type.len() > SCANNED_TYPES_MAX {
            return None;
        }
        let mut tests: Vec<TypeTest> = self.by_type.keys().cloned().map(TypeTest::Eq).collect();
        for group in &self.any_type {
            let filter = &self.groups.get(group)?.filter;
            tests.extend_from_slice(filter.types.as_deref()?);
            if tests.len() > SCANNED_TYPES_MAX {
                return None;
            }
        }
        Some(tests)
    }

    /// Writes the groups that want an event to `wanted`, in no order. Returns the cost, in units of a scan's budget.
    pub(super) fn find(&mut self, event: &Event<'_>, wanted: &mut Vec<GroupId>) -> u32 {
        let Self { groups, by_type, any_type } = self;
        let of_type = by_type.get(event.event_type.as_str());
        let mut cost = 0;
        for group in of_type.into_iter().flatten().chain(any_type.iter()) {
            let compiled = groups.get_mut(group).expect("a group that is listed has a compiled filter");
            if compiled.matches(event, &mut cost) {
                wanted.push(*group);
            }
        }
        cost
    }
}

impl Compiled {
    fn matches(&mut self, event: &Event<'_>, cost: &mut u32) -> bool {
        let Filter { types, ids, start, end, payload: _, after_seq } = &*self.filter;
        let event_type = event.event_type.as_str().as_bytes();
        let is_wanted = types.as_ref().is_none_or(|types| types.iter().any(|test| test.matches(event_type)))
            && start.is_none_or(|start| start <= event.timestamp)
            && end.is_none_or(|end| event.timestamp <= end)
            && after_seq.is_none_or(|after| after < event.seq)
            && ids.as_ref().is_none_or(|ids| has_id(ids, &event.id));
        *cost = cost.saturating_add(1);
        if !is_wanted {
            return false;
        }
        let evaluation = self.conditions.evaluate(event.payload);
        *cost = cost.saturating_add(evaluation.cost);
        evaluation.matches
    }
}

/// The types that a filter wants, if it names them all; `None` if any other type may match, too.
fn exact_types(filter: &Filter) -> Option<impl Iterator<Item = &str>> {
    let tests = filter.types.as_deref()?;
    let is_exact = |test: &TypeTest| match test {
        TypeTest::Eq(_) => true,
        TypeTest::Prefix(_) => false,
    };
    tests.iter().all(is_exact).then(|| tests.iter().map(TypeTest::text))
}

/// Whether the id of an event is among those of a filter, which ascend.
fn has_id(ids: &[Box<str>], id: &EventId<'_>) -> bool {
    let is_listed = |text: &str| ids.binary_search_by(|other| (**other).cmp(text)).is_ok();
    match id {
        EventId::Given(id) => is_listed(id.as_str()),
        EventId::Generated(uuid) => core::str::from_utf8(&uuid.to_text()).is_ok_and(is_listed),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::event::{ClientId, EventType, Payload, Timestamp, Uuid};
    use crate::query::{Operand, PayloadFilter, PayloadPath, Test};

    fn event<'a>(event_type: &'a str, id: EventId<'a>) -> Event<'a> {
        Event {
            id,
            seq: 9,
            event_type: EventType::parse(event_type).unwrap(),
            timestamp: Timestamp::from_nanos(50),
            payload: Payload::parse(r#"{"a":1}"#).unwrap(),
            stored_at: Timestamp::from_nanos(60),
        }
    }

    fn found(matcher: &mut Matcher, event: &Event<'_>) -> Vec<GroupId> {
        let mut wanted = Vec::new();
        matcher.find(event, &mut wanted);
        wanted.sort_unstable();
        wanted
    }

    fn of_types(types: Vec<TypeTest>) -> Arc<Filter> {
        Arc::new(Filter { types: Some(types), ..Filter::default() })
    }

    #[test]
    fn groups_are_found_by_type_and_only_once() {
        let [a, ab, prefix, all, none] = [1, 2, 3, 4, 5].map(GroupId);
        let mut matcher = Matcher::default();
        matcher.add(a, of_types(vec![TypeTest::Eq("a".into()), TypeTest::Eq("a".into())]));
        matcher.add(ab, of_types(vec![TypeTest::Eq("b".into()), TypeTest::Eq("a".into())]));
        matcher.add(prefix, of_types(vec![TypeTest::Eq("a".into()), TypeTest::Prefix("a".into())]));
        matcher.add(none, of_types(vec![]));
        let id = EventId::Generated(Uuid([7; 16]));
        assert_eq!(found(&mut matcher, &event("a", id)), [a, ab, prefix]);
        assert_eq!(found(&mut matcher, &event("ax", id)), [prefix]);
        assert_eq!(found(&mut matcher, &event("b", id)), [ab]);
        assert_eq!(found(&mut matcher, &event("c", id)), []);
        assert_eq!(matcher.types().unwrap().len(), 4, "a, b, and both tests of the third");
        matcher.add(all, Arc::default());
        assert_eq!(found(&mut matcher, &event("c", id)), [all]);
        assert_eq!(matcher.types(), None);
        matcher.remove(all);
        matcher.remove(ab);
        matcher.remove(prefix);
        assert_eq!(found(&mut matcher, &event("a", id)), [a]);
        assert_eq!(found(&mut matcher, &event("b", id)), []);
        assert_eq!(matcher.types(), Some(vec![TypeTest::Eq("a".into())]));
    }

    #[test]
    fn every_condition_of_a_filter_must_hold() {
        let text = "07070707-0707-0707-0707-070707070707";
        let generated = EventId::Generated(Uuid([7; 16]));
        let given = EventId::Given(ClientId::parse("x").unwrap());
        let at = |nanos| Some(Timestamp::from_nanos(nanos));
        let condition =
            |operand| PayloadFilter { path: PayloadPath::parse("a").unwrap(), test: Test::Eq(Operand::new(operand)) };
        for (filter, id, matches) in [
            (Filter::default(), given, true),
            (Filter { start: at(50), end: at(50), ..Filter::default() }, given, true),
            (Filter { start: at(51), ..Filter::default() }, given, false),
            (Filter { end: at(49), ..Filter::default() }, given, false),
            (Filter { after_seq: Some(8), ..Filter::default() }, given, true),
            (Filter { after_seq: Some(9), ..Filter::default() }, given, false),
            (Filter { ids: Some(vec![text.into(), "x".into()]), ..Filter::default() }, given, true),
            (Filter { ids: Some(vec![text.into(), "x".into()]), ..Filter::default() }, generated, true),
            (Filter { ids: Some(vec!["y".into()]), ..Filter::default() }, given, false),
            (Filter { ids: Some(vec![]), ..Filter::default() }, given, false),
            (Filter { payload: vec![condition("1.0")], ..Filter::default() }, given, true),
            (Filter { payload: vec![condition("2")], ..Filter::default() }, given, false),
        ] {
            let mut matcher = Matcher::default();
            matcher.add(GroupId(1), Arc::new(filter.clone()));
            assert_eq!(!found(&mut matcher, &event("t", id)).is_empty(), matches, "{filter:?}");
        }
    }
}
