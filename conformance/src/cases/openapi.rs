//! `GET /openapi.json`: the document is complete and correct.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["openapi";
    "Routes": [
        version_and_title, every_route_is_declared, methods_are_declared, references_resolve, operation_ids_are_unique,
        answers_are_declared, parameters_are_declared, payload_parameters_are_those_that_are_taken, head,
    ],
];

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

fn document(server: &Server) -> Result<Value, Failure> {
    let response = server.get("/openapi.json")?;
    response.expect(200)?;
    response.json()
}

fn version_and_title(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    server.get("/openapi.json")?.expect_header("content-type", "application/json")?;
    let document = document(&server)?;
    let version = document["openapi"].as_str().unwrap_or_default();
    check!(version.starts_with("3.1."), "OpenAPI 3.1, not {version:?}");
    for place in ["/info/title", "/info/version"] {
        let text = document.pointer(place).and_then(Value::as_str).unwrap_or_default();
        check!(!text.is_empty(), "a text at {place}");
    }
    Ok(())
}

fn every_route_is_declared(ctx: &Context<'_>) -> Outcome {
    let document = document(&ctx.server()?)?;
    let paths: BTreeSet<&str> =
        document["paths"].as_object().into_iter().flatten().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "/",
        "/events",
        "/events/{id}",
        "/events/aggregate",
        "/events/fields",
        "/events/funnel",
        "/events/retention",
        "/events/stream",
        "/events/types",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
    ];
    check_eq!(paths, BTreeSet::from(expected), "the paths of the document");
    Ok(())
}

fn methods_are_declared(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let document = document(&server)?;
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let target = path.replace("{id}", "no-such-id");
        for method in METHODS {
            // Only the head, since a stream does not end.
            let status = server.connect()?.begin(&Request::new(&method.to_ascii_uppercase(), &target))?.status;
            check_eq!(
                status != 405,
                item.get(method).is_some(),
                "whether {method} {path} is served, and whether it is declared"
            );
        }
    }
    Ok(())
}

fn references_resolve(ctx: &Context<'_>) -> Outcome {
    let document = document(&ctx.server()?)?;
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_default();
        check!(document.pointer(pointer).is_some(), "a target of {reference:?}");
    }
    Ok(())
}

fn collect_references<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "$ref" {
                    references.extend(member.as_str());
                }
                collect_references(member, references);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect_references(element, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn operation_ids_are_unique(ctx: &Context<'_>) -> Outcome {
    let document = document(&ctx.server()?)?;
    let mut seen = BTreeSet::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten().filter(|(name, _)| is_method(name)) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            check!(!id.is_empty(), "an operationId of {method} {path}");
            check!(seen.insert(id), "the operationId {id} once");
        }
    }
    Ok(())
}

fn is_method(name: &str) -> bool {
    name == "head" || METHODS.contains(&name)
}

fn answers_are_declared(ctx: &Context<'_>) -> Outcome {
    let document = document(&ctx.server()?)?;
    for (method, path, statuses) in [
        ("post", "/events", &["200", "201", "400", "408", "413", "415", "422", "503"][..]),
        ("post", "/events", &["401", "403", "429"]),
        ("get", "/events", &["200", "400", "401", "403", "429"]),
        ("get", "/events/stream", &["101", "200", "400", "401", "403", "406", "414", "426", "429", "431", "503"]),
        ("head", "/events/stream", &["200", "400", "401", "403", "406", "414", "429", "431", "503"]),
        ("get", "/events/{id}", &["200", "401", "403", "404", "429"]),
        ("get", "/health/ready", &["200", "503"]),
        ("get", "/metrics", &["200", "401", "403", "429"]),
    ] {
        for status in statuses {
            let declared = document["paths"][path][method]["responses"].get(status).is_some();
            check!(declared, "the answer {status} to {method} {path} in the document");
        }
    }
    Ok(())
}

fn parameters_are_declared(ctx: &Context<'_>) -> Outcome {
    let document = document(&ctx.server()?)?;
    const STREAM: &[&str] = &["type", "type[prefix]", "id", "start", "end", "after_seq", "key"];
    for (path, method, names) in [
        (
            "/events",
            "get",
            &["type", "type[prefix]", "id", "start", "end", "after_seq", "limit", "order", "cursor"][..],
        ),
        ("/events", "head", &["type", "type[prefix]", "id", "start", "end", "after_seq", "limit", "order", "cursor"]),
        (
            "/events",
            "post",
            &["key", "type", "type_from", "time_from", "time", "id_from", "payload_from", "records_from"],
        ),
        ("/events/stream", "get", STREAM),
        ("/events/stream", "head", STREAM),
    ] {
        let parameters = document["paths"][path][method]["parameters"].as_array().cloned().unwrap_or_default();
        let declared: Vec<Value> = parameters
            .iter()
            .map(|parameter| {
                let target =
                    parameter["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
                let parameter = target.unwrap_or(parameter);
                json!([parameter["name"], parameter["in"]])
            })
            .collect();
        let header = json!(["Last-Event-ID", "header"]);
        check_eq!(declared.contains(&header), path == "/events/stream", "Last-Event-ID of {method} {path}");
        for name in names {
            check!(
                declared.contains(&json!([name, "query"])),
                "the parameter {name} of {method} {path} in {declared:?}"
            );
        }
    }
    Ok(())
}

/// The schema accepts the names of conditions that the server takes, and no others.
fn payload_parameters_are_those_that_are_taken(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let document = document(&server)?;
    let schema = document.pointer("/components/parameters/Payload/schema");
    let schema = schema.ok_or_else(|| Failure::unmet("a schema of the conditions on payloads"))?;
    let validator = jsonschema::draft202012::new(schema)
        .map_err(|error| Failure::unmet(format!("a schema of the conditions on payloads: {error}")))?;
    for (name, value, is_taken) in [
        ("payload.a", "1", true),
        ("payload.a.b", "", true),
        ("payload.größe", "1", true),
        ("payload.a b\n", "1", true),
        ("payload.", "1", true),
        ("payload..a.", "1", true),
        ("payload.[gt]", "1", true),
        ("payload.a[gt]", "1", true),
        ("payload.a[eq]", "1", true),
        ("payload.a[exists]", "true", true),
        ("payload.a[exists]", "1", false),
        (r"payload.a\\[exists]", "1", false),
        (r"payload.a\[exists]", "1", true),
        (r"payload.a[exists\]", "1", true),
        ("payload.a[like]", "1", false),
        ("payload.a[GT]", "1", false),
        ("payload.a[]", "1", false),
        ("payload.a[0]", "1", false),
        (r"payload.a\[0\]", "1", true),
        (r"payload.a\[0\][lt]", "1", true),
        (r"payload.a\[0\][0]", "1", false),
        (r"payload.a\[gt]", "1", true),
        (r"payload.a[gt\]", "1", true),
        (r"payload.a\\[gt]", "1", true),
        (r"payload.a\\[like]", "1", false),
        (r"payload.a\\\[like]", "1", true),
        ("payload.a[b].c", "1", true),
        ("payload.a[b].c[ne]", "1", true),
        ("payload.a[gt][lt]", "1", true),
        ("payload.a[b", "1", true),
        ("payload.a]", "1", true),
        ("payload.a]b[prefix]", "1", true),
        ("payload.a[b]c]", "1", false),
        (r"payload.a\.b\\", "1", true),
        (r"payload.a\b", "1", false),
        (r"payload.a\", "1", false),
        ("payload", "1", false),
        ("payload[gt]", "1", false),
        ("payloads.a", "1", false),
        ("Payload.a", "1", false),
    ] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let status = server.get(&format!("/events?{encoded}={value}"))?.status();
        check_eq!(status, if is_taken { 200 } else { 400 }, "the status of {name}={value}");
        check_eq!(validator.is_valid(&json!({ name: value })), is_taken, "whether the schema accepts {name}={value}");
    }
    Ok(())
}

fn head(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let get = server.get("/openapi.json")?;
    let head = server.send(&Request::new("HEAD", "/openapi.json"))?;
    head.expect(200)?;
    head.expect_header("content-length", &get.body.len().to_string())
}
