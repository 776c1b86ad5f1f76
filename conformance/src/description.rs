//! The `OpenAPI` document of a subject, and whether its answers match it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};

/// The longest body that is validated against its schema, in bytes. Longer ones consist of many similar events.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The media type of every error.
const PROBLEM: &str = "application/problem+json";

/// An `OpenAPI` 3.1 document, whose schemas are JSON Schema 2020-12.
#[derive(Debug)]
pub struct Description {
    document: Value,
    /// By the text of the schema; compiled when an answer needs it.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// The parts of an answer that the document describes.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: &'a [(String, String)],
    /// The value of `Content-Type`, if there is one.
    pub content_type: Option<&'a str>,
    /// The body; `None` if the answer has none, for example to `HEAD`.
    pub body: Option<&'a [u8]>,
}

impl Description {
    /// Parses a document as it came over the wire.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not JSON.
    pub fn parse(document: &[u8]) -> Result<Self, Failure> {
        let document = serde_json::from_slice(document)
            .map_err(|error| Failure::unmet(format!("a description of the interface in JSON: {error}")))?;
        Ok(Self { document, validators: Mutex::default() })
    }

    /// Requires that the document declares the status and the media type for the requested operation, that the answer
    /// has the header fields that are required, and that the body is valid under its schema.
    ///
    /// `request` is method and target. If it is unknown, or the document has no such operation, the answer must match
    /// any operation, or be an error.
    ///
    /// # Errors
    ///
    /// [`Failure`] that says what the document does not declare.
    pub fn check(&self, request: Option<(&str, &str)>, answer: Answer<'_>) -> Outcome {
        let Answer { status, headers, content_type, body } = answer;
        let requested = request.map_or_else(
            || "an unknown request".to_owned(),
            |(method, target)| format!("{method} {}", target.get(..80).unwrap_or(target)),
        );
        let unmet =
            |what: String| Failure::unmet(format!("{what} in /openapi.json, for the answer {status} to {requested}"));
        let operation = request.and_then(|(method, target)| self.operation(method, target));
        let responses = match operation {
            Some(operation) => {
                let response = self.response(operation, status).ok_or_else(|| unmet(format!("the status {status}")))?;
                if let Some(name) = self.missing_header(response, headers) {
                    return Err(unmet(format!("an answer without {name}")));
                }
                vec![response]
            }
            None => self.operations().filter_map(|operation| self.response(operation, status)).collect(),
        };
        let Some(body) = body else { return Ok(()) };
        let media_type = content_type.unwrap_or_default();
        let media_type = media_type.split_once(';').map_or(media_type, |(essence, _)| essence).trim();
        let mut schemas: Vec<&Value> =
            responses.iter().filter_map(|response| response.get("content")?.get(media_type)?.get("schema")).collect();
        let problem = json!({"$ref": "#/components/schemas/Problem"});
        if schemas.is_empty() && operation.is_none() && media_type == PROBLEM {
            schemas.push(&problem);
        }
        if schemas.is_empty() {
            return Err(unmet(format!("the media type {media_type:?}")));
        }
        if !(media_type == "application/json" || media_type.ends_with("+json")) || body.len() > BODY_BYTES_MAX {
            return Ok(());
        }
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(body) => body,
            // Some payloads are valid JSON but do not fit into a `Value`: 1e400, half of a surrogate pair, 128 nested
            // arrays.
            Err(_) if serde_json::from_slice::<&RawValue>(body).is_ok() => return Ok(()),
            Err(error) => return Err(unmet(format!("JSON ({error})"))),
        };
        let mut faults = String::new();
        for schema in schemas {
            match self.validator(schema)?.validate(&body) {
                Ok(()) => return Ok(()),
                Err(error) => faults = format!("{error} at {:?}", error.instance_path().to_string()),
            }
        }
        Err(unmet(format!("the schema of this body ({faults})")))
    }

    fn operations(&self) -> impl Iterator<Item = &Value> {
        let paths = self.document.get("paths").and_then(Value::as_object).into_iter().flatten();
        paths.filter_map(|(_, item)| item.as_object()).flat_map(|item| item.values())
    }

    /// The operation of a method and a target. The path must be spelled as in the document.
    fn operation(&self, method: &str, target: &str) -> Option<&Value> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let paths = self.document.get("paths")?;
        let item = paths.get(path).or_else(|| {
            let id = path.strip_prefix("/events/")?;
            let is_one = !id.is_empty() && !id.contains('/');
            is_one.then(|| paths.get("/events/{id}")).flatten()
        })?;
        // Methods are case-sensitive, but the document has them in lower case.
        let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase());
        is_method.then(|| item.get(method.to_ascii_lowercase())).flatten()
    }

    /// The declaration of an operation's answer with this status.
    fn response<'a>(&'a self, operation: &'a Value, status: u16) -> Option<&'a Value> {
        self.resolved(operation.get("responses")?.get(status.to_string())?)
    }

    /// A header field that is required in an answer and not there.
    fn missing_header<'a>(&self, response: &'a Value, headers: &[(String, String)]) -> Option<&'a str> {
        let mut declared = response.get("headers").and_then(Value::as_object).into_iter().flatten();
        declared.find_map(|(name, header)| {
            let is_required = self.resolved(header)?.get("required") == Some(&Value::Bool(true));
            let is_there = headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            (is_required && !is_there).then_some(name.as_str())
        })
    }

    /// What a value refers to, or itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> Option<&'a Value> {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.document.pointer(reference.strip_prefix('#')?),
            None => Some(value),
        }
    }

    /// The compiled form of a schema.
    fn validator(&self, schema: &Value) -> Result<Arc<Validator>, Failure> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let key = schema.to_string();
        if let Some(known) = validators.get(&key) {
            return Ok(Arc::clone(known));
        }
        // References in the schema point into the components of the document.
        let root = json!({"allOf": [schema], "components": self.document.get("components")});
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .map_err(|error| Failure::unmet(format!("a schema in /openapi.json: {error}")))?;
        let validator = Arc::new(validator);
        validators.insert(key, Arc::clone(&validator));
        Ok(validator)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn description() -> Description {
        let document = json!({
            "paths": {
                "/events": {"get": {"responses": {
                    "200": {"content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/List"}},
                        "text/plain": {"schema": {"type": "string"}},
                    }},
                    "400": {"$ref": "#/components/responses/BadRequest"},
                }}},
                "/events/{id}": {"head": {"responses": {"200": {"headers": {
                    "X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"},
                    "Link": {"schema": {"type": "string"}},
                }}}}},
            },
            "components": {
                "headers": {"X-Request-Id": {"required": true, "schema": {"type": "string"}}},
                "schemas": {
                    "List": {"type": "array", "items": {"type": "string", "format": "date-time"}},
                    "Problem": {"type": "object", "required": ["title"]},
                },
                "responses": {"BadRequest": {"content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
                }}},
            },
        });
        Description::parse(document.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_must_match_the_requested_operation_or_any_if_that_is_unknown() {
        let description = description();
        let check = |request, status, content_type, body: &str| {
            let (content_type, body) = (Some(content_type), Some(body.as_bytes()));
            let answer = Answer { status, headers: &[], content_type, body };
            description.check(request, answer)
        };
        let (json, problem) = ("application/json", "application/problem+json");
        let find = Some(("GET", "/events?type=a"));
        for request in [find, None] {
            assert_eq!(check(request, 200, json, r#"["2026-07-26T09:00:00Z"]"#), Ok(()));
            assert_eq!(check(request, 200, "text/plain; charset=utf-8", "not JSON"), Ok(()));
            assert_eq!(check(request, 400, problem, r#"{"title":"x"}"#), Ok(()));
            for (status, content_type, body) in [
                (200, json, r#"["yesterday"]"#),
                (200, json, r#"[1]"#),
                (200, json, r#"["#),
                (200, "text/html", "x"),
                (400, problem, "{}"),
            ] {
                let outcome = check(request, status, content_type, body);
                assert!(outcome.is_err(), "{request:?} {status} {content_type} {body}");
            }
        }
        // The document declares no 405. Errors of unknown operations need no declaration, but have a known form.
        assert!(check(find, 405, problem, r#"{"title":"x"}"#).is_err());
        for request in [None, Some(("PUT", "/events")), Some(("get", "/events")), Some(("GET", "/nowhere"))] {
            assert_eq!(check(request, 405, problem, r#"{"title":"x"}"#), Ok(()));
            assert!(check(request, 405, problem, "{}").is_err());
            assert!(check(request, 405, json, "{}").is_err());
        }
        let identified = [("x-request-id".to_owned(), "1".to_owned())];
        let to_head = |status, headers: &[(String, String)]| {
            description.check(Some(("HEAD", "/events/a")), Answer { status, headers, content_type: None, body: None })
        };
        assert_eq!(to_head(200, &identified), Ok(()));
        assert!(to_head(200, &[]).is_err(), "a required field is missing");
        assert!(to_head(404, &identified).is_err());
    }
}
