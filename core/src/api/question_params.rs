//! Parses query parameters into questions.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use super::params::{
    check_filter, check_length, invalid, once, parse_bool, parse_digits, parse_path, parse_payload_filter,
    read_filter_param,
};
use super::problem_reply::ProblemReply;
use super::target::Param;
use super::text::Excerpt;
use crate::analysis::{
    AGGREGATIONS_MAX, Aggregate, Aggregation, Field, Fields, Funnel, GROUP_BY_MAX, PERIODS_MAX, Periods, Retention,
    STEPS, Step, Types,
};
use crate::auth::Access;
use crate::calendar::{Interval, Zone};
use crate::event::TypeTest;
use crate::query::{Filter, LIMIT_MAX, PAYLOAD_FILTERS_MAX, PAYLOAD_PATH_BYTES_MAX, PayloadFilter, PayloadPath};

const AGGREGATE_PARAMETERS: &str = ", interval, timezone, fill, group_by, agg, top";
const FUNNEL_PARAMETERS: &str = ", step, by, within, step.<n>.payload.<path>";
const RETENTION_PARAMETERS: &str = ", first, then, by, interval, periods, timezone";

/// The interval of retention if none is given, and how many periods.
const RETENTION_INTERVAL: &str = "1d";
const RETENTION_PERIODS: u32 = 7;

/// The intervals that retention takes.
const RETENTION_INTERVALS: [&str; 3] = ["1d", "1w", "1mo"];

/// Parses the parameters of `GET /events/aggregate`. An unknown or invalid one is an error, never ignored; so is one
/// that can have no effect.
pub(super) fn read_aggregate(params: &[Param<'_>], access: &Access) -> Result<Box<Aggregate>, ProblemReply> {
    let mut filter = Filter::default();
    let (mut interval, mut zone, mut fill, mut top) = (None, None, None, None);
    let (mut group_by, mut aggregations) = (Vec::new(), Vec::new());
    for Param { name, value } in params {
        match name.as_ref() {
            "interval" => once(&mut interval, name, parse_interval(name, value)?)?,
            "timezone" => once(&mut zone, name, parse_zone(name, value)?)?,
            "fill" => once(&mut fill, name, parse_bool(name, value)?)?,
            "top" => once(&mut top, name, parse_top(name, value)?)?,
            "group_by" => add_different(&mut group_by, parse_field(name, value)?, name, value, GROUP_BY_MAX)?,
            "agg" => add_different(&mut aggregations, parse_aggregation(name, value)?, name, value, AGGREGATIONS_MAX)?,
            _ => read_filter_param(&mut filter, name, value, AGGREGATE_PARAMETERS)?,
        }
    }
    check_filter(&filter)?;
    for (name, is_given) in [("timezone", zone.is_some()), ("fill", fill.is_some())] {
        if is_given && interval.is_none() {
            return Err(invalid(format!(
                "{name}: needs interval, such as interval=1h; without it there is one bucket"
            )));
        }
    }
    if top.is_some() && group_by.is_empty() {
        return Err(invalid("top: needs group_by, such as group_by=type; without it there are no groups"));
    }
    if aggregations.is_empty() {
        aggregations.push(Aggregation::Count);
    }
    access.restrict(&mut filter);
    let periods = interval.map(|interval| Periods { interval, zone: zone.unwrap_or_else(Zone::utc) });
    Ok(Box::new(Aggregate { filter, periods, fill: fill.unwrap_or(false), group_by, aggregations, top }))
}

/// Parses the parameters of `GET /events/funnel`.
pub(super) fn read_funnel(params: &[Param<'_>], access: &Access) -> Result<Box<Funnel>, ProblemReply> {
    let mut filter = Filter::default();
    let (mut by, mut within) = (None, None);
    let mut steps = Vec::<Step>::new();
    let mut conditions = Vec::<(usize, &str, PayloadFilter)>::new();
    for Param { name, value } in params {
        match name.as_ref() {
            "step" if steps.len() == *STEPS.end() => {
                return Err(invalid(format!("step: given more than {} times", STEPS.end())));
            }
            "step" => steps.push(Step { event_type: value.as_ref().into(), payload: Vec::new() }),
            "by" => once(&mut by, name, parse_by(name, value)?)?,
            "within" => once(&mut within, name, parse_within(name, value)?)?,
            other => match parse_step_filter(other, value)? {
                Some(_) if conditions.len() == PAYLOAD_FILTERS_MAX => {
                    let detail = format!("more than {PAYLOAD_FILTERS_MAX} conditions on steps");
                    return Err(invalid(format!("{}: {detail}", Excerpt(name))));
                }
                Some((step, condition)) => conditions.push((step, name, condition)),
                None => read_filter_param(&mut filter, name, value, FUNNEL_PARAMETERS)?,
            },
        }
    }
    check_filter(&filter)?;
    let given = steps.len();
    if !STEPS.contains(&given) {
        let (least, most) = (STEPS.start(), STEPS.end());
        return Err(invalid(format!(
            "step: needed {least} to {most} times, the event_type of each step; given {given}"
        )));
    }
    for (number, name, condition) in conditions {
        let step = number.checked_sub(1).and_then(|at| steps.get_mut(at));
        let detail = || invalid(format!("{}: there are steps 1 to {given} only", Excerpt(name)));
        step.ok_or_else(detail)?.payload.push(condition);
    }
    restrict_to(&mut filter, steps.iter().map(|step| &step.event_type));
    access.restrict(&mut filter);
    Ok(Box::new(Funnel { filter, steps, by: needed("by", by, "payload.user_id")?, within }))
}

/// Parses the parameters of `GET /events/retention`.
pub(super) fn read_retention(params: &[Param<'_>], access: &Access) -> Result<Box<Retention>, ProblemReply> {
    let mut filter = Filter::default();
    let (mut first, mut then, mut by) = (None, None, None);
    let (mut interval, mut count, mut zone) = (None, None, None);
    for Param { name, value } in params {
        match name.as_ref() {
            "first" => once(&mut first, name, Box::<str>::from(value.as_ref()))?,
            "then" => once(&mut then, name, Box::<str>::from(value.as_ref()))?,
            "by" => once(&mut by, name, parse_by(name, value)?)?,
            "interval" => once(&mut interval, name, parse_retention_interval(name, value)?)?,
            "periods" => once(&mut count, name, parse_periods(name, value)?)?,
            "timezone" => once(&mut zone, name, parse_zone(name, value)?)?,
            _ => read_filter_param(&mut filter, name, value, RETENTION_PARAMETERS)?,
        }
    }
    check_filter(&filter)?;
    let first = needed("first", first, "signup")?;
    let then = needed("then", then, "login")?;
    restrict_to(&mut filter, [&first, &then]);
    access.restrict(&mut filter);
    let interval = match interval {
        Some(interval) => interval,
        None => parse_interval("interval", RETENTION_INTERVAL)?,
    };
    Ok(Box::new(Retention {
        filter,
        first,
        then,
        by: needed("by", by, "payload.user_id")?,
        periods: Periods { interval, zone: zone.unwrap_or_else(Zone::utc) },
        count: count.unwrap_or(RETENTION_PERIODS),
    }))
}

/// Parses the parameters of `GET /events/types`.
pub(super) fn read_types(params: &[Param<'_>], access: &Access) -> Result<Box<Types>, ProblemReply> {
    read_filter_only(params, access).map(|filter| Box::new(Types { filter }))
}

/// Parses the parameters of `GET /events/fields`.
pub(super) fn read_fields(params: &[Param<'_>], access: &Access) -> Result<Box<Fields>, ProblemReply> {
    read_filter_only(params, access).map(|filter| Box::new(Fields { filter }))
}

fn read_filter_only(params: &[Param<'_>], access: &Access) -> Result<Filter, ProblemReply> {
    let mut filter = Filter::default();
    for Param { name, value } in params {
        read_filter_param(&mut filter, name, value, "")?;
    }
    check_filter(&filter)?;
    access.restrict(&mut filter);
    Ok(filter)
}

/// Leaves out events of other types than these, unless the filter asks for types.
fn restrict_to<'t>(filter: &mut Filter, types: impl IntoIterator<Item = &'t Box<str>>) {
    if filter.types.is_none() {
        let mut wanted = Vec::new();
        for event_type in types {
            let test = TypeTest::Eq(event_type.clone());
            if !wanted.contains(&test) {
                wanted.push(test);
            }
        }
        filter.types = Some(wanted);
    }
}

/// A parameter that must be given.
fn needed<T>(name: &str, value: Option<T>, example: &str) -> Result<T, ProblemReply> {
    value.ok_or_else(|| invalid(format!("{name}: missing; for example {name}={example}")))
}

/// Adds to a list of different items.
fn add_different<T: PartialEq>(
    list: &mut Vec<T>,
    item: T,
    name: &str,
    value: &str,
    max: usize,
) -> Result<(), ProblemReply> {
    if list.contains(&item) {
        return Err(invalid(format!("{name}: {} is given more than once; each is one column", Excerpt(value))));
    }
    if list.len() == max {
        return Err(invalid(format!("{name}: given more than {max} times")));
    }
    list.push(item);
    Ok(())
}

fn parse_interval(name: &str, value: &str) -> Result<Interval, ProblemReply> {
    Interval::parse(value).map_err(|error| invalid(format!("{name}: {error}")))
}

fn parse_retention_interval(name: &str, value: &str) -> Result<Interval, ProblemReply> {
    if RETENTION_INTERVALS.contains(&value) {
        return parse_interval(name, value);
    }
    Err(invalid(format!("{name}: must be {}, not {}", RETENTION_INTERVALS.join(", "), Excerpt(value))))
}

fn parse_zone(name: &str, value: &str) -> Result<Zone, ProblemReply> {
    Zone::parse(value).map_err(|error| invalid(format!("{name}: {error}")))
}

fn parse_top(name: &str, value: &str) -> Result<NonZeroU32, ProblemReply> {
    parse_digits::<NonZeroU32>(value)
        .filter(|top| top.get() <= LIMIT_MAX)
        .ok_or_else(|| invalid(format!("{name}: must be an integer from 1 to {LIMIT_MAX}, not {}", Excerpt(value))))
}

fn parse_periods(name: &str, value: &str) -> Result<u32, ProblemReply> {
    parse_digits::<u32>(value)
        .filter(|count| (1..=PERIODS_MAX).contains(count))
        .ok_or_else(|| invalid(format!("{name}: must be an integer from 1 to {PERIODS_MAX}, not {}", Excerpt(value))))
}

fn parse_field(name: &str, value: &str) -> Result<Field, ProblemReply> {
    if value == "type" {
        return Ok(Field::Type);
    }
    match value.strip_prefix("payload.") {
        Some(path) => parse_path(name, path).map(Field::Payload),
        None => Err(invalid(format!("{name}: must be type or payload.<path>, not {}", Excerpt(value)))),
    }
}

fn parse_by(name: &str, value: &str) -> Result<PayloadPath, ProblemReply> {
    match value.strip_prefix("payload.") {
        Some(path) => parse_path(name, path),
        None => Err(invalid(format!("{name}: must be payload.<path>, not {}", Excerpt(value)))),
    }
}

fn parse_aggregation(name: &str, value: &str) -> Result<Aggregation, ProblemReply> {
    let argument = value.split_once('(').map_or("", |(_, argument)| argument);
    let path = argument.strip_prefix("payload.").unwrap_or(argument);
    let path = path.strip_suffix(')').unwrap_or(path);
    check_length(name, "path", path, PAYLOAD_PATH_BYTES_MAX)?;
    Aggregation::parse(value).map_err(|error| invalid(format!("{name}: {} {error}", Excerpt(value))))
}

/// Parses a time span: a number and a unit from seconds to weeks.
fn parse_within(name: &str, value: &str) -> Result<Duration, ProblemReply> {
    let split = value.find(|character: char| !character.is_ascii_digit()).unwrap_or(value.len());
    let (digits, unit) = value.split_at(split);
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        "w" => Some(604_800),
        _ => None,
    };
    let number = parse_digits::<u64>(digits).filter(|number| *number > 0);
    let span = number.zip(seconds).and_then(|(number, seconds): (u64, u64)| number.checked_mul(seconds));
    span.map(Duration::from_secs).ok_or_else(|| {
        let form = "a number and a unit: s, m, h, d (24 hours) or w, such as 7d";
        invalid(format!("{name}: must be {form}, not {}", Excerpt(value)))
    })
}

/// Parses a condition of one step, `step.<n>.payload.<path>[op]`; `None` if the parameter is none.
fn parse_step_filter(name: &str, value: &str) -> Result<Option<(usize, PayloadFilter)>, ProblemReply> {
    let Some(rest) = name.strip_prefix("step.") else { return Ok(None) };
    let (number, condition) = rest.split_once('.').unwrap_or((rest, ""));
    let number = parse_digits::<usize>(number).filter(|_| !number.is_empty());
    match (number, condition.strip_prefix("payload.")) {
        (Some(number), Some(condition)) => {
            parse_payload_filter(name, condition, value).map(|condition| Some((number, condition)))
        }
        (_, _) => {
            let form = "a condition of a step is step.<n>.payload.<path>, such as step.2.payload.amount[gte]=10";
            Err(invalid(format!("{}: {form}", Excerpt(name))))
        }
    }
}
