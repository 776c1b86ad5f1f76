//! `/health`, `/health/live`, `/health/ready`.

use serde_json::json;

use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::Request;
use crate::context::Context;
use crate::failure::Outcome;

pub(super) const CASES: &[Case] = cases!["health";
    "Routes": [healthy_server_passes, head, unknown_paths_below_health, unknown_parameters_are_ignored],
];

const TARGETS: [&str; 3] = ["/health", "/health/live", "/health/ready"];

fn healthy_server_passes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in TARGETS {
        let response = server.get(target)?;
        response.expect(200).map_err(|failure| failure.within(&target))?;
        check_eq!(response.member("status")?, json!("pass"), "the status at {target}");
        let content_type = response.header("content-type").unwrap_or_default();
        check_eq!(content_type, "application/health+json", "the Content-Type at {target}");
    }
    Ok(())
}

fn head(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    for target in TARGETS {
        let head = connection.request(&Request::new("HEAD", target))?;
        head.expect(200).map_err(|failure| failure.within(&target))?;
    }
    connection.request(&Request::get("/health"))?.expect(200)
}

fn unknown_paths_below_health(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/health/", "/health/dead", "/health/live/", "/health/ready/x", "/healthz", "/health%2Flive"] {
        server.get(target)?.problem(404).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn unknown_parameters_are_ignored(ctx: &Context<'_>) -> Outcome {
    // Some probes append a random parameter to avoid caches.
    ctx.server()?.get("/health/live?_=1714564800")?.expect(200)
}
