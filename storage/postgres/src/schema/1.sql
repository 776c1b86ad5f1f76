-- Events of Argus. Version 1.

CREATE SCHEMA IF NOT EXISTS argus;

-- One row: what every commit continues. A transaction that writes locks it, so sequence numbers have no gaps and follow
-- the order of commits.
CREATE TABLE argus.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The version of this schema.
    schema_version integer NOT NULL,
    -- The sequence number of the last event.
    last_seq bigint NOT NULL,
    -- How many events are stored, how many bytes their types, ids and payloads have, and how many types there are.
    events bigint NOT NULL,
    bytes bigint NOT NULL,
    event_types bigint NOT NULL,
    -- How often events were erased, and how often events were removed for whatever reason.
    erasures bigint NOT NULL,
    removals bigint NOT NULL,
    CHECK (LEAST(last_seq, events, bytes, event_types, erasures, removals) >= 0)
);

INSERT INTO argus.head VALUES (true, 1, 0, 0, 0, 0, 0, 0);

CREATE TABLE argus.events (
    -- 1, 2, 3… in the order of commits.
    seq bigint PRIMARY KEY,
    -- When it happened, in whole microseconds, and the nanoseconds beyond them.
    time timestamptz NOT NULL,
    -- When it was stored.
    stored_at timestamptz NOT NULL,
    nanos smallint NOT NULL,
    -- Whether Argus has generated the id.
    id_generated boolean NOT NULL,
    id text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    -- The payload, byte for byte.
    payload text NOT NULL,
    -- The payload for queries and indexes. Null where jsonb cannot hold it: U+0000, a lone surrogate, two members of one
    -- name.
    document jsonb
);

-- An id is stored once.
CREATE UNIQUE INDEX events_id ON argus.events (id);
CREATE INDEX events_time ON argus.events (time, nanos, seq);
CREATE INDEX events_type_time ON argus.events (event_type, time, nanos, seq);
CREATE INDEX events_document ON argus.events USING gin (document jsonb_path_ops);
CREATE INDEX events_no_document ON argus.events (time, nanos, seq) WHERE document IS NULL;
