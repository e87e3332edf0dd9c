-- +goose Up
-- When each fabric is to be read next, and how its cluster has behaved.
CREATE TABLE schedules (
  fabric_id   BIGINT PRIMARY KEY REFERENCES fabrics ON DELETE CASCADE,
  next_run_at BIGINT,                   -- NULL: on request only
  failures    BIGINT NOT NULL,          -- passes in a row that failed
  open_since  BIGINT,                   -- the breaker, NULL while closed
  probed_at   BIGINT,
  probe_error TEXT    NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_run_at);
INSERT INTO schedules (fabric_id, next_run_at, failures, probe_error)
  SELECT id, CASE WHEN coalesce((policy::json->>'interval')::bigint, 0) >= 0 THEN 0 END, 0, '' FROM fabrics;

-- The running serve and worker processes.
CREATE TABLE processes (
  id         TEXT COLLATE "C" PRIMARY KEY,
  number     BIGINT NOT NULL,           -- of the lock that it holds while it lives
  host       TEXT    NOT NULL,
  pid        BIGINT NOT NULL,
  role       TEXT    NOT NULL,
  release    TEXT    NOT NULL,
  workers    BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  beat_at    BIGINT NOT NULL,
  ticked_at  BIGINT,
  problems   TEXT    NOT NULL            -- JSON list
);

-- Who follows each fabric, and how far they have come. A row whose process is
-- gone is nobody's.
CREATE TABLE followers (
  fabric_id  BIGINT PRIMARY KEY REFERENCES fabrics ON DELETE CASCADE,
  process_id TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  message    TEXT    NOT NULL,
  since      BIGINT NOT NULL
);

ALTER TABLE kinds ADD COLUMN present BIGINT NOT NULL DEFAULT 0;   -- objects of it that are there
ALTER TABLE kinds ADD COLUMN revision TEXT NOT NULL DEFAULT '';    -- up to which it has been followed
UPDATE kinds SET present = (SELECT count(*) FROM objects o WHERE o.kind_id = kinds.id AND o.until IS NULL);

-- What a follower commits is no pass: it says nothing of the whole.
CREATE INDEX runs_passes ON runs (fabric_id, id) WHERE trigger <> 'follow';
CREATE INDEX runs_passes_newest ON runs (fabric_id, outcome, id) WHERE trigger <> 'follow';
CREATE INDEX runs_ended ON runs (finished_at);
CREATE INDEX runs_quiet ON runs (finished_at) WHERE outcome = 'complete' AND version_after = version_before;
DROP INDEX runs_newest;
