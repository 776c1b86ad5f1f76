//! `docs/import.md`: the records of each product in its table come in with the query string given there.

use std::path::Path;

use serde_json::Value;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["import";
    "POST /events": [every_product_has_a_sample, records_come_back, records_with_ids_are_stored_once],
];

/// A sample of the records of a product, and the events that it gives, in its order.
struct Sample {
    product: &'static str,
    text: &'static str,
    events: &'static [Expected],
}

/// The type, the time and the id of an event, and a pointer to its payload: into the document of the sample, or into
/// the array of its lines. Without an id, Argus generates one.
struct Expected(&'static str, &'static str, Option<&'static str>, &'static str);

const SAMPLES: &[Sample] = &[
    Sample {
        product: "AWS CloudTrail",
        text: include_str!("import/cloudtrail.json"),
        events: &[
            Expected(
                "ConsoleLogin",
                "2024-05-01T12:00:07Z",
                Some("fed06f42-cb12-4764-8c69-121063dc79b9"),
                "/Records/0",
            ),
            Expected(
                "GetBucketAcl",
                "2024-05-01T11:58:31Z",
                Some("0a4c1d2e-5b1f-4c9e-9f6e-000000000002"),
                "/Records/1",
            ),
        ],
    },
    Sample {
        product: "Kubernetes audit log",
        text: include_str!("import/kubernetes.ndjson"),
        events: &[
            Expected(
                "watch",
                "2024-05-01T12:00:00.123456Z",
                Some(r#"["7a5e1c1f-8f0b-4c62-9d0a-3f7f4f0b2c11","RequestReceived"]"#),
                "/0",
            ),
            Expected(
                "watch",
                "2024-05-01T12:05:00.200Z",
                Some(r#"["7a5e1c1f-8f0b-4c62-9d0a-3f7f4f0b2c11","ResponseComplete"]"#),
                "/1",
            ),
            Expected(
                "create",
                "2024-05-01T12:00:01.004500Z",
                Some(r#"["b0c9c0de-1111-4222-8333-944444444444","ResponseComplete"]"#),
                "/2",
            ),
        ],
    },
    Sample {
        product: "Suricata EVE",
        text: include_str!("import/suricata.ndjson"),
        events: &[
            Expected("alert", "2024-05-01T12:00:37.251547Z", None, "/0"),
            Expected("dns", "2024-05-01T12:00:38.000100Z", None, "/1"),
            Expected("stats", "2024-05-01T12:00:40Z", None, "/2"),
        ],
    },
    Sample {
        product: "Zeek",
        text: include_str!("import/zeek.ndjson"),
        events: &[
            Expected("zeek.conn", "2020-06-05T14:39:59.305988Z", None, "/0"),
            Expected("zeek.conn", "2020-06-05T14:39:59.430166Z", None, "/1"),
        ],
    },
    Sample {
        product: "journald",
        text: include_str!("import/journald.ndjson"),
        events: &[
            Expected(
                "syslog",
                "2024-05-01T12:00:00.123456Z",
                Some(concat!(
                    "s=8a7f4c1d2e3b4a5f9c8d7e6f5a4b3c2d;i=4fa21;b=0f1e2d3c4b5a69788796a5b4c3d2e1f0;",
                    "m=1c3a5b7d9f;t=617635d1b8d00;x=a1b2c3d4e5f60718"
                )),
                "/0",
            ),
            Expected(
                "stdout",
                "2024-05-01T12:00:00.123457Z",
                Some(concat!(
                    "s=8a7f4c1d2e3b4a5f9c8d7e6f5a4b3c2d;i=4fa22;b=0f1e2d3c4b5a69788796a5b4c3d2e1f0;",
                    "m=1c3a5b7da0;t=617635d1b8d01;x=b1b2c3d4e5f60719"
                )),
                "/1",
            ),
            Expected(
                "journal",
                "2024-05-01T12:00:00.127Z",
                Some(concat!(
                    "s=8a7f4c1d2e3b4a5f9c8d7e6f5a4b3c2d;i=4fa23;b=0f1e2d3c4b5a69788796a5b4c3d2e1f0;",
                    "m=1c3a5b7da1;t=617635d1b9cf0;x=c1b2c3d4e5f6071a"
                )),
                "/2",
            ),
        ],
    },
    Sample {
        product: "Google Analytics 4",
        text: include_str!("import/ga4.ndjson"),
        events: &[
            Expected(
                "page_view",
                "2024-08-01T12:00:00.123456Z",
                Some(r#"["1398452361.1722513598","1722513600123456","page_view","1722513598001","2","1"]"#),
                "/0",
            ),
            Expected(
                "scroll",
                "2024-08-01T12:00:00.123456Z",
                Some(r#"["1398452361.1722513598","1722513600123456","scroll","1722513598001","2","2"]"#),
                "/1",
            ),
            Expected("purchase", "2024-08-01T12:00:01Z", None, "/2"),
        ],
    },
    Sample {
        product: "Snowplow",
        text: include_str!("import/snowplow.json"),
        events: &[
            Expected("pv", "2024-05-01T12:00:00.151Z", Some("5a305bf5-32fc-40d9-b0e8-66052f0f2c95"), "/data/0"),
            Expected("ue", "2024-05-01T11:00:00Z", Some("0d6a1f52-0000-4000-8000-000000000002"), "/data/1"),
        ],
    },
    Sample {
        product: "Slack Events API",
        text: include_str!("import/slack_event.json"),
        events: &[Expected("message", "2023-11-14T22:13:20.000100Z", Some("Ev123ABC456"), "")],
    },
    Sample {
        product: "Slack export",
        text: include_str!("import/slack_export.json"),
        events: &[
            Expected("slack.general", "2023-11-14T22:13:19.999900Z", None, "/0"),
            Expected(
                "slack.general",
                "2023-11-14T22:13:20.000100Z",
                Some("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"),
                "/1",
            ),
        ],
    },
    Sample {
        product: "Stripe",
        text: include_str!("import/stripe.json"),
        events: &[
            Expected("invoice.paid", "2024-05-01T12:00:00Z", Some("evt_1NG8Du2eZvKYlo2CUI79vXWy"), "/data/0"),
            Expected("customer.updated", "2024-05-01T11:59:59Z", Some("evt_1NG8Du2eZvKYlo2CUI79vXWx"), "/data/1"),
        ],
    },
    Sample {
        product: "OpenTelemetry logs",
        text: include_str!("import/otlp.ndjson"),
        events: &[
            Expected("otlp.log", "2024-05-01T12:00:00.300000001Z", None, "/0/resourceLogs/0/scopeLogs/0/logRecords/0"),
            Expected("otlp.log", "2024-05-01T12:00:00.400Z", None, "/0/resourceLogs/0/scopeLogs/0/logRecords/1"),
            Expected("otlp.log", "2024-05-01T12:00:01Z", None, "/0/resourceLogs/1/scopeLogs/0/logRecords/0"),
            Expected("otlp.log", "2024-05-01T12:00:02Z", None, "/1/resourceLogs/0/scopeLogs/0/logRecords/0"),
        ],
    },
    Sample {
        product: "Docker",
        text: include_str!("import/docker.ndjson"),
        events: &[
            Expected("stdout", "2024-05-01T12:00:00.123456789Z", None, "/0"),
            Expected("stderr", "2024-05-01T12:00:00.500Z", None, "/1"),
        ],
    },
    Sample {
        product: "pino",
        text: include_str!("import/pino.ndjson"),
        events: &[
            Expected("30", "2024-05-01T12:00:00.123Z", None, "/0"),
            Expected("50", "2024-05-01T12:00:00.456Z", None, "/1"),
        ],
    },
    Sample {
        product: "Argus",
        text: include_str!("import/argus.ndjson"),
        events: &[
            Expected("purchase", "2024-05-01T12:00:00.120Z", Some("order-1042"), "/0/payload"),
            Expected("ping", "2024-05-01T12:00:01Z", Some("018f33f0-7c00-7000-8000-000000000008"), "/1/payload"),
        ],
    },
];

/// A row of the table in `docs/import.md`.
struct Row {
    product: String,
    content_type: String,
    query: String,
}

/// The rows of the table: product, records, content type, query string, remarks.
fn table() -> Result<Vec<Row>, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("import.md");
    let text = std::fs::read_to_string(&path).map_err(|e| Failure::skipped(format!("{}: {e}", path.display())))?;
    Ok(text.lines().filter_map(row).collect())
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let code = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
    let (content_type, query) = (code(cells.get(2)?)?, code(cells.get(3)?)?);
    Some(Row { product: (*cells.first()?).to_owned(), content_type, query })
}

/// Each sample with its row.
fn samples() -> Result<Vec<(Row, &'static Sample)>, Failure> {
    let of = |row: Row| SAMPLES.iter().find(|sample| sample.product == row.product).map(|sample| (row, sample));
    Ok(table()?.into_iter().filter_map(of).collect())
}

impl Sample {
    /// The document, or the array of the lines.
    fn json(&self, content_type: &str) -> Result<Value, Failure> {
        let json: Result<Value, _> = match content_type {
            "application/x-ndjson" => self.text.lines().map(serde_json::from_str::<Value>).collect(),
            _ => serde_json::from_str(self.text),
        };
        json.map_err(|error| Failure::unmet(format!("a sample of JSON: {error}")))
    }

    fn import(&self, row: &Row) -> Request {
        Request::post(&format!("/events?{}", row.query), &row.content_type, self.text)
    }
}

fn every_product_has_a_sample(_: &Context<'_>) -> Outcome {
    let rows = table()?;
    let rows: Vec<&str> = rows.iter().map(|row| row.product.as_str()).collect();
    let samples: Vec<&str> = SAMPLES.iter().map(|sample| sample.product).collect();
    check_eq!(rows, samples, "the products in docs/import.md");
    Ok(())
}

fn records_come_back(ctx: &Context<'_>) -> Outcome {
    for (row, sample) in samples()? {
        let within = |failure: Failure| failure.within(&row.product);
        let server = ctx.empty()?;
        server.send(&sample.import(&row))?.expect(201).map_err(within)?;
        let events = server.find("order=seq")?;
        check_eq!(events.len(), sample.events.len(), "the number of events of {}", row.product);
        let json = sample.json(&row.content_type)?;
        for (event, Expected(event_type, time, id, payload)) in events.iter().zip(sample.events) {
            check_eq!(event["event_type"], **event_type, "the type of a record of {}", row.product);
            check_eq!(event["timestamp"], **time, "the time of a record of {}", row.product);
            check!(id.is_none_or(|id| event["id"] == id), "the id {id:?} of {}, not {}", row.product, event["id"]);
            check_eq!(Some(&event["payload"]), json.pointer(payload), "the payload of a record of {}", row.product);
        }
    }
    Ok(())
}

fn records_with_ids_are_stored_once(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (row, sample) in samples()? {
        let with_id = sample.events.iter().filter(|Expected(_, _, id, _)| id.is_some()).count();
        let before = server.find("")?.len();
        for _ in 0..2 {
            server.send(&sample.import(&row))?.expect(201).map_err(|failure| failure.within(&row.product))?;
        }
        let stored = server.find("")?.len() - before;
        check_eq!(stored, 2 * sample.events.len() - with_id, "events of {} sent twice", row.product);
    }
    Ok(())
}
