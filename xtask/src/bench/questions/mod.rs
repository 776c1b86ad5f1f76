//! Questions about many events, beside `DuckDB` and `ClickHouse` with the same events.
//!
//! All three load the same file, one after the other, each with the whole machine. Then each answers the same
//! questions, and the answers must be the same. The subject is asked over HTTP, the others by a call in their own
//! process.

mod answer;
mod events;
mod file;
mod ingestion;
mod question;
mod rivals;
mod store;

use anyhow::{Result, ensure};

use super::{
    Scale,
    durable::disk_bytes,
    report::{Goal, Report, Row, as_f64, median, rounded, thousands},
    server::Subject,
};
use answer::{Rows, Shape};
use file::Written;
use question::{Aim, Question};
use rivals::{Engine, Figures, Rivals};
use store::Answered;

/// A full run waits so many times as long for maintenance as for memory: 18 s. The last events are sealed some ten
/// seconds after they came, and until then questions read them row by row.
const REST_WAITS: u32 = 6;

/// With `--curve`, the sizes in fifths of the planned number of events.
const CURVE: [u64; 3] = [1, FIFTHS, 20];
const FIFTHS: u64 = 5;

/// What was measured at the subject.
#[derive(Debug)]
struct Measured {
    load_seconds: f64,
    rest_seconds: f64,
    /// On the disk, with the log.
    bytes: u64,
    /// What the subject says that its events take, with their indexes.
    stored_bytes: u64,
    peak_bytes: u64,
    answers: Vec<Answered>,
}

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let rivals = Rivals::new(scale.installs, subject.threads());
    if let Err(reason) = &rivals {
        report.skip("questions beside DuckDB and ClickHouse", reason);
    }
    let planned = u64::try_from(scale.question_events)?;
    let sizes: &[u64] = if scale.curve { &CURVE } else { &[FIFTHS] };
    for fifths in sizes {
        // The others are not asked about more than the planned number.
        let rivals = rivals.as_ref().ok().filter(|_| *fifths <= FIFTHS);
        measure_size(subject, planned * fifths / FIFTHS, *fifths == FIFTHS, rivals, scale, report)?;
    }
    Ok(())
}

fn measure_size(
    subject: &Subject,
    count: u64,
    with_ingestion: bool,
    rivals: Option<&Rivals>,
    scale: &Scale,
    report: &mut Report,
) -> Result<()> {
    let folder = subject.folder()?;
    let (written, mut events) = Written::new(folder.path(), count)?;
    let questions = question::questions(&written);
    eprintln!("  {} events of {:.0} bytes of JSON", thousands(count), per_event(written.bytes, &written));

    let data = subject.folder()?;
    let server = subject.start_on(data.path())?;
    let load_seconds = store::load(&server, &written, scale.batch)?.as_secs_f64();
    let rest_seconds = store::rest(&server, scale.memory_wait * REST_WAITS)?.as_secs_f64();
    eprintln!("  loaded in {load_seconds:.1} s; maintenance rests after {rest_seconds:.1} s");
    let (bytes, stored_bytes) = (disk_bytes(data.path())?, server.metric("argus_stored_bytes")?);
    let answers = store::ask(&server, &questions, scale)?;
    // Before further events are stored, which the others do not do.
    let peak_bytes = server.memory()?.peak;
    if with_ingestion {
        ingestion::measure(subject, &server, &written, &mut events, scale, report)?;
    }
    let measured = Measured { load_seconds, rest_seconds, bytes, stored_bytes, peak_bytes, answers };
    drop((server, data));

    let mut others = Vec::new();
    for engine in rivals.map_or(&[][..], |_| &Engine::ALL) {
        if let Some(rivals) = rivals {
            others.push(rivals.ask(*engine, &subject.folder()?, &written, &questions, scale.question_runs)?);
        }
    }
    add_storage(subject, &written, &measured, &others, report);
    for (index, question) in questions.iter().enumerate() {
        add_question(subject, count, question, (index, &measured, &others), report);
    }
    compare(&written, &questions, &measured.answers, &others)
}

/// The rows about loading, disk and memory.
fn add_storage(subject: &Subject, written: &Written, measured: &Measured, others: &[Figures], report: &mut Report) {
    let seconds = |load: f64, rest: f64| format!("{load:.1} s, and {rest:.1} s until maintenance rests");
    let speed = |load: f64| rounded(as_f64(written.events) / load);
    let (load, rest) = (measured.load_seconds, measured.rest_seconds);
    let of_others = |figure: &dyn Fn(&Figures) -> String| {
        let each: Vec<String> = others.iter().map(|other| format!("{} {}", other.name, figure(other))).collect();
        each.join("; ")
    };
    let disk = |bytes: u64| format!("{:.1} B an event", per_event(bytes, written));
    let mebibytes = |bytes: u64| format!("{:.0} MiB", as_f64(bytes) / 1_048_576.0);
    let rows = [
        (
            "load",
            format!("{} events/s; {}", speed(load), seconds(load, rest)),
            of_others(&|other| seconds(other.load_seconds, other.rest_seconds)),
        ),
        ("stored", disk(measured.stored_bytes), String::new()),
        ("disk, with the log", disk(measured.bytes), of_others(&|other| disk(other.bytes))),
        ("memory, peak of all", mebibytes(measured.peak_bytes), of_others(&|other| mebibytes(other.peak_bytes))),
    ];
    for (what, figure, floor) in rows {
        let measure = format!("questions, {} events: {what}", thousands(written.events));
        report.add(Row { measure, subject: subject.name, figure, floor, goal: Goal::Open });
    }
}

/// The row about one question, at this index of all answers.
fn add_question(
    subject: &Subject,
    count: u64,
    question: &Question,
    (index, measured, others): (usize, &Measured, &[Figures]),
    report: &mut Report,
) {
    let milliseconds = measured.answers.get(index).map_or(f64::NAN, |answered| median(&answered.times_ms));
    let medians: Vec<f64> = others
        .iter()
        .map(|other| other.answers.get(index).map_or(&[][..], |answer| &answer.times_ms))
        .map(|times| if times.is_empty() { f64::INFINITY } else { median(times) })
        .collect();
    let faster = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = milliseconds / faster;
    let click_house = Engine::ALL.iter().position(|engine| *engine == Engine::ClickHouse);
    let click_house = click_house.and_then(|index| medians.get(index)).copied();
    let goal = match question.aim {
        Aim::OfFaster(goal) if faster.is_finite() => Goal::AtMost { goal, is: ratio, unit: "of the faster" },
        Aim::OfClickHouse(goal) => click_house.map_or(Goal::Open, |click_house| Goal::AtMost {
            goal,
            is: milliseconds / click_house,
            unit: "of ClickHouse",
        }),
        Aim::Milliseconds(goal) => Goal::AtMost { goal, is: milliseconds, unit: "ms" },
        Aim::OfFaster(_) | Aim::Open => Goal::Open,
    };
    let compared = others.iter().zip(&medians).filter(|(_, median)| median.is_finite());
    let compared: Vec<String> = compared.map(|(other, median)| format!("{} {median:.2} ms", other.name)).collect();
    let beside = if faster.is_finite() { format!("; {ratio:.3} of the faster") } else { String::new() };
    report.add(Row {
        measure: format!("{}, {} events", question.what, thousands(count)),
        subject: subject.name,
        figure: format!("{milliseconds:.2} ms{beside}"),
        floor: compared.join(", "),
        goal,
    });
}

/// Fails, after all questions, if an answer differs from the exact one, whoever gave it.
fn compare(written: &Written, questions: &[Question], answers: &[Answered], others: &[Figures]) -> Result<()> {
    let mut differences = Vec::new();
    for (index, (question, answered)) in questions.iter().zip(answers).enumerate() {
        let of_others = || others.iter().filter_map(|other| Some((other.name.as_str(), other.answers.get(index)?)));
        // Without an estimate, what was measured is exact.
        let exact = of_others().find_map(|(_, answer)| answer.exact.as_ref().or(answer.rows.as_ref()));
        let mut expect = |who: &str, rows: &Rows| {
            let compared = exact.map_or(Ok(()), |exact| rows.expect(exact, question.tolerances));
            let what = || format!("{who} answers {} ({}): ", question.what, question.target);
            differences.extend(compared.err().map(|error| what() + &format!("{error:#}")));
        };
        expect("the server", &answered.rows);
        of_others().for_each(|(name, answer)| answer.rows.iter().for_each(|rows| expect(name, rows)));
        if question.shape == Shape::Types {
            let counts = events::TYPES.iter().zip(written.by_type).filter(|(_, count)| *count > 0);
            for (event_type, count) in counts {
                let found = answered.rows.number(event_type, 1);
                if found != Some(as_f64(count)) {
                    differences.push(format!("{found:?} events of type {event_type} instead of {count}"));
                }
            }
        }
    }
    ensure!(differences.is_empty(), "wrong answers:\n{}", differences.join("\n"));
    Ok(())
}

fn per_event(bytes: u64, written: &Written) -> f64 {
    as_f64(bytes) / as_f64(written.events)
}
