//! `GET /openapi.json`: the description of the interface.

use alloc::boxed::Box;
use alloc::string::String;

use bytes::Bytes;
use once_cell::race::OnceBox;

use super::compress::{AnswerCoding, Negotiated};
use super::validator::{entity_tag, is_known};
use super::{Reply, RequestHead, Route};

/// The `OpenAPI` 3.1 document of this interface.
const OPENAPI: &str = include_str!("openapi.json");

/// The document in one content coding.
struct Representation {
    body: Bytes,
    tag: String,
}

/// The reply with the document, or 304 if the client has it. Caches may keep it, but have to ask whether it is still
/// the same: an update of Argus changes it.
pub(super) fn openapi(head: &RequestHead<'_>, negotiated: Negotiated) -> Reply {
    let Representation { body, tag } = Representation::of(negotiated.coding);
    let reply = if is_known(head, tag) {
        Reply::empty(Route::OpenApi, 304)
    } else {
        let reply = Reply::new(Route::OpenApi, 200, "application/json", body.clone());
        match negotiated.coding {
            Some(coding) => reply.with_header("content-encoding", coding.as_str()),
            None => reply,
        }
    };
    reply.with_cache_control("no-cache").with_header("etag", tag.as_str())
}

impl Representation {
    /// The document in this coding. The first call makes it, since to compress it takes milliseconds.
    fn of(coding: Option<AnswerCoding>) -> &'static Self {
        static PLAIN: OnceBox<Representation> = OnceBox::new();
        static GZIP: OnceBox<Representation> = OnceBox::new();
        static ZSTD: OnceBox<Representation> = OnceBox::new();
        let made = match coding {
            None => &PLAIN,
            Some(AnswerCoding::Gzip) => &GZIP,
            Some(AnswerCoding::Zstd) => &ZSTD,
        };
        made.get_or_init(|| {
            let document = Bytes::from_static(OPENAPI.as_bytes());
            let body = coding.map_or_else(|| document.clone(), |coding| coding.encode_whole(&document));
            Box::new(Self { body, tag: entity_tag(&document, coding) })
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::api::ProblemKind;
    use crate::api::health::VERSION;
    use crate::ingest::FaultCode;

    #[test]
    fn the_openapi_document_has_our_version_and_routes() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(description["info"]["version"], VERSION);
        let paths = description["paths"].as_object().unwrap();
        let mut named: alloc::vec::Vec<_> = paths.keys().map(String::as_str).collect();
        let routes = Route::ALL.into_iter().filter(|route| *route != Route::Other);
        let mut expected: alloc::vec::Vec<_> = routes.clone().map(Route::as_str).collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected);
        for route in routes {
            let mut allowed: alloc::vec::Vec<_> = route.allow().split(", ").map(str::to_ascii_lowercase).collect();
            allowed.sort_unstable();
            let mut described: alloc::vec::Vec<_> = paths[route.as_str()]
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| ["get", "head", "post", "put", "delete", "patch", "options"].contains(&key.as_str()))
                .cloned()
                .collect();
            described.sort_unstable();
            assert_eq!(described, allowed, "{}", route.as_str());
        }
    }

    /// The strings of an `enum` in the description.
    fn names(list: &serde_json::Value) -> alloc::vec::Vec<&str> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn the_openapi_document_has_every_kind_of_problem_and_fault() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let schemas = &description["components"]["schemas"];
        let problems = ProblemKind::ALL.map(|kind| alloc::format!("/problems/{}", kind.as_str()));
        assert_eq!(names(&schemas["Problem"]["properties"]["type"]["enum"]), problems);
        assert_eq!(names(&schemas["Fault"]["properties"]["code"]["enum"]), FaultCode::ALL.map(FaultCode::as_str));
    }

    #[test]
    fn the_openapi_document_has_the_status_of_every_problem() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let operations: alloc::vec::Vec<_> = description["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values().filter_map(|operation| operation.get("responses")))
            .collect();
        for kind in ProblemKind::ALL.into_iter().filter(|kind| *kind != ProblemKind::MethodNotAllowed) {
            let status = alloc::format!("{}", kind.status());
            let described = operations.iter().filter(|responses| responses.get(&status).is_some()).count();
            // These can happen on any route.
            let everywhere = matches!(
                kind,
                ProblemKind::BadRequest
                    | ProblemKind::ExpectationFailed
                    | ProblemKind::HeadTooLarge
                    | ProblemKind::Internal
                    | ProblemKind::NotImplemented
                    | ProblemKind::UriTooLong
                    | ProblemKind::VersionNotSupported
            );
            assert!(if everywhere { described == operations.len() } else { described > 0 }, "{status}: {described}");
        }
    }
}
