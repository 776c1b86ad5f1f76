//! The text of the metrics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::api::Transport;
use bytes::Bytes;

use argus_core::repository::ErasureStats;

use super::*;

fn reply(route: Route, status: u16) -> Reply {
    Reply {
        route,
        status,
        headers: Vec::new(),
        body: Bytes::new(),
        close: false,
        problem: None,
        rejected: Vec::new(),
        decoded_bytes: 0,
    }
}

#[test]
fn every_metric_is_in_the_text() {
    let metrics = Metrics::new("test", "memory").unwrap();
    let open = metrics.connection_opens();
    let in_flight = metrics.request_begins();
    let mut answer = reply(Route::Events, 422);
    answer.problem = Some(ProblemKind::InvalidEvents);
    answer.decoded_bytes = 200;
    answer.rejected = vec![(FaultCode::MissingField, 3)];
    metrics.request_answered(&Method::POST, &answer, Duration::from_millis(2));
    metrics.request_answered(&Method::POST, &answer, Duration::from_millis(2));
    metrics.request_answered(&Method::from_bytes(b"BREW").unwrap(), &reply(Route::Other, 299), Duration::ZERO);
    metrics.body_arrived(100);
    metrics.connection_incident(Incident::WriteTimeout);
    metrics.log_lines_lost().inc_by(4);
    metrics.memory_planned(1 << 30);
    metrics.events_expired(4);
    metrics.damage_found();
    let stream = metrics.streams().opens(Transport::ServerSentEvents);
    metrics.streams().sent(5);
    metrics.streams().ended(StreamEnd::Slow);
    let receipt = Receipt {
        first_seq: 1,
        stored: 5,
        duplicates: Box::new([]),
        surplus: None,
        generated_id: None,
        expired: 0,
        durable: false,
    };
    metrics.group_committed(&[receipt.clone(), receipt], 10, Duration::from_micros(10));
    let stored = Some(Stats {
        events: 10,
        bytes: 1000,
        segments: 1,
        last_seq: 10,
        event_types: 3,
        event_types_max: 100,
        erasures: ErasureStats::default(),
    });
    let text = metrics
        .render(&Gauges {
            stored,
            queue_batches: 2,
            queue_bytes: 50,
            body_bytes_reserved: 7,
            answer_bytes_held: 9,
            answers_in_flight: 3,
            stream_buffer_bytes: 11,
            stream_lag_events: Some(12),
        })
        .unwrap();
    for line in [
        "argus_http_requests_total{method=\"POST\",route=\"/events\",status=\"422\"} 2",
        "argus_http_requests_total{method=\"other\",route=\"other\",status=\"other\"} 1",
        "argus_http_request_duration_seconds_count{route=\"/events\"} 2",
        "argus_http_requests_in_flight 1",
        "argus_events_accepted_total 10",
        "argus_events_duplicate_total 0",
        "argus_events_expired_total 4",
        "argus_damage_found_total 1",
        "argus_events_rejected_total{reason=\"missing_field\"} 6",
        "argus_body_wire_bytes_total 100",
        "argus_body_decoded_bytes_total 400",
        "argus_commit_group_batches_sum 2",
        "argus_commit_group_events_sum 10",
        "argus_commit_queue_batches 2",
        "argus_commit_queue_bytes 50",
        "argus_body_in_flight_bytes 7",
        "argus_answer_bytes_held 9",
        "argus_answers_in_flight 3",
        "argus_streams{transport=\"sse\"} 1",
        "argus_stream_events_sent_total 5",
        "argus_streams_ended_total{reason=\"slow\"} 1",
        "argus_stream_buffer_bytes 11",
        "argus_stream_lag_events 12",
        "argus_memory_planned_bytes 1073741824",
        "argus_stored_events 10",
        "argus_stored_bytes 1000",
        "argus_stored_event_types 3",
        "argus_event_types_limit 100",
        "argus_connections 1",
        "argus_connections_total 1",
        "argus_connection_incidents_total{kind=\"write_timeout\"} 1",
        "argus_log_lines_lost_total 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
    }
    assert!(text.contains("argus_build_info{") && text.contains("process_open_fds"), "{text}");
    drop((open, in_flight, stream));
    let text = metrics.render(&Gauges::default()).unwrap();
    assert!(text.contains("argus_connections 0\n") && text.contains("argus_http_requests_in_flight 0\n"), "{text}");
    for unknown in ["argus_stream_lag_events 12\n", "argus_stored_events 10\n"] {
        assert!(text.contains(unknown), "as it was, {unknown} not in\n{text}");
    }
}
