//! The routes of the interface.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::target::Target;

crate::listed::listed! {
    /// The routes. The list is closed, so it can label metrics.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Route {
        /// `/events`
        Events,
        /// `/events/{id}`
        Event,
        /// `/events/aggregate`
        Aggregate,
        /// `/events/funnel`
        Funnel,
        /// `/events/retention`
        Retention,
        /// `/events/types`
        Types,
        /// `/events/fields`
        Fields,
        /// `/events/stream`
        Stream,
        /// `/health`
        Health,
        /// `/health/live`
        Live,
        /// `/health/ready`
        Ready,
        /// `/metrics`
        Metrics,
        /// `/openapi.json`
        OpenApi,
        /// `/`
        Root,
        /// Any other path, and requests that are refused before their path is known.
        Other,
    }
}

impl Route {
    /// The path in the `OpenAPI` document; `other` for [`Route::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "/events",
            Self::Event => "/events/{id}",
            Self::Aggregate => "/events/aggregate",
            Self::Funnel => "/events/funnel",
            Self::Retention => "/events/retention",
            Self::Types => "/events/types",
            Self::Fields => "/events/fields",
            Self::Stream => "/events/stream",
            Self::Health => "/health",
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Root => "/",
            Self::Other => "other",
        }
    }

    /// Whether the route is served while the service is stopping, so that it can still be monitored.
    pub(super) fn is_served_while_draining(self) -> bool {
        match self {
            Self::Health | Self::Live | Self::Ready | Self::Metrics => true,
            Self::Events
            | Self::Event
            | Self::Aggregate
            | Self::Funnel
            | Self::Retention
            | Self::Types
            | Self::Fields
            | Self::Stream
            | Self::OpenApi
            | Self::Root
            | Self::Other => false,
        }
    }

    /// Whether the route tells if the service is up. Such routes are open and not limited, so that probes never fail
    /// because of other requests.
    pub(super) fn is_health(self) -> bool {
        match self {
            Self::Health | Self::Live | Self::Ready => true,
            Self::Events
            | Self::Event
            | Self::Aggregate
            | Self::Funnel
            | Self::Retention
            | Self::Types
            | Self::Fields
            | Self::Stream
            | Self::Metrics
            | Self::OpenApi
            | Self::Root
            | Self::Other => false,
        }
    }

    /// The value of the header field `Allow`.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Events => "GET, HEAD, POST, DELETE",
            Self::Event
            | Self::Aggregate
            | Self::Funnel
            | Self::Retention
            | Self::Types
            | Self::Fields
            | Self::Stream
            | Self::Health
            | Self::Live
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Root
            | Self::Other => "GET, HEAD",
        }
    }

    /// The routes with their methods, for people: `GET/POST/DELETE /events, …`. Without `HEAD`, which goes with every
    /// `GET`.
    pub(super) fn list() -> String {
        let methods = |route: Self| {
            let methods: Vec<_> = route.allow().split(", ").filter(|method| *method != "HEAD").collect();
            methods.join("/")
        };
        let routes = Self::ALL.into_iter().filter(|route| *route != Self::Other);
        let routes: Vec<_> = routes.map(|route| format!("{} {}", methods(route), route.as_str())).collect();
        routes.join(", ")
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// A fixed path, or nothing ([`Route::Other`]).
    Fixed(Route),
    /// The event with this id.
    Event(String),
}

impl Resource {
    /// Finds the resource of a path. Compares decoded segments: `/%65vents` is `/events` (RFC 3986, section 6.2.2.2),
    /// but `/health%2Flive` is not `/health/live`.
    pub(super) fn of(target: &Target<'_>) -> Self {
        let mut segments = target.segments.iter().map(AsRef::as_ref);
        let route = match (segments.next(), segments.next(), segments.next()) {
            (Some(""), None, _) => Route::Root,
            (Some("events"), None, _) => Route::Events,
            (Some("events"), Some(""), None) => Route::Other,
            (Some("events"), Some("aggregate"), None) => Route::Aggregate,
            (Some("events"), Some("funnel"), None) => Route::Funnel,
            (Some("events"), Some("retention"), None) => Route::Retention,
            (Some("events"), Some("types"), None) => Route::Types,
            (Some("events"), Some("fields"), None) => Route::Fields,
            (Some("events"), Some("stream"), None) => Route::Stream,
            (Some("events"), Some(id), None) => return Self::Event(id.into()),
            (Some("health"), None, _) => Route::Health,
            (Some("health"), Some("live"), None) => Route::Live,
            (Some("health"), Some("ready"), None) => Route::Ready,
            (Some("metrics"), None, _) => Route::Metrics,
            (Some("openapi.json"), None, _) => Route::OpenApi,
            (_, _, _) => Route::Other,
        };
        Self::Fixed(route)
    }

    pub(super) fn route(&self) -> Route {
        match self {
            Self::Fixed(route) => *route,
            Self::Event(_) => Route::Event,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn of(target: &str) -> Resource {
        Resource::of(&Target::parse(target).unwrap())
    }

    #[test]
    fn every_route_has_its_path() {
        for route in Route::ALL {
            match route {
                Route::Events
                | Route::Aggregate
                | Route::Funnel
                | Route::Retention
                | Route::Types
                | Route::Fields
                | Route::Stream
                | Route::Health
                | Route::Live
                | Route::Ready
                | Route::Metrics
                | Route::OpenApi
                | Route::Root
                | Route::Other => {
                    assert_eq!(of(&format!("/{}", route.as_str().trim_start_matches('/'))), Resource::Fixed(route));
                }
                Route::Event => assert_eq!(of("/events/x").route(), route),
            }
        }
        assert_eq!(of("/%65vents?type=a"), Resource::Fixed(Route::Events));
        assert_eq!(of("http://localhost"), Resource::Fixed(Route::Root));
        for other in
            ["//", "//events", "/Events", "/events/", "/health/", "/health%2Flive", "/events/a/b", "/metrics/x"]
        {
            assert_eq!(of(other), Resource::Fixed(Route::Other), "{other}");
        }
    }

    #[test]
    fn the_list_has_every_route() {
        assert_eq!(
            Route::list(),
            "GET/POST/DELETE /events, GET /events/{id}, GET /events/aggregate, GET /events/funnel, \
             GET /events/retention, GET /events/types, GET /events/fields, GET /events/stream, GET /health, \
             GET /health/live, GET /health/ready, GET /metrics, GET /openapi.json, GET /"
        );
    }

    #[test]
    fn ids_are_decoded_and_reserved_paths_are_not_ids() {
        assert_eq!(of("/events/a%2Fb%20c+d"), Resource::Event("a/b c+d".into()));
        assert_eq!(of("/events/streams"), Resource::Event("streams".into()));
        assert_eq!(of("/events/aggregates"), Resource::Event("aggregates".into()));
        assert_eq!(of("/events/%73tream"), Resource::Fixed(Route::Stream));
    }
}
