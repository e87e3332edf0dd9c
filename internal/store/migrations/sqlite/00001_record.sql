-- +goose Up
-- Times are microseconds since 1970 (UTC); JSON is text; digests are SHA-256.
CREATE TABLE fabrics (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT    NOT NULL UNIQUE,
  cluster    TEXT,                       -- JSON, NULL until configured; nothing secret
  policy     TEXT    NOT NULL,           -- JSON
  suspended  INTEGER NOT NULL,
  version    INTEGER NOT NULL,           -- commits that changed this fabric's data
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

-- Sealed with the key file; the name is bound into the ciphertext.
CREATE TABLE secrets (
  name       TEXT PRIMARY KEY,
  fabric_id  INTEGER REFERENCES fabrics ON DELETE CASCADE,
  sealed     BLOB    NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

-- Canonical content of objects and schemas, once for each digest.
CREATE TABLE contents (
  digest BLOB PRIMARY KEY,
  body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What each cluster served when it was last complete.
CREATE TABLE kinds (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  fabric_id    INTEGER NOT NULL REFERENCES fabrics ON DELETE CASCADE,
  grp          TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  version      TEXT    NOT NULL,
  plural       TEXT    NOT NULL,
  singular     TEXT    NOT NULL,
  short_names  TEXT    NOT NULL,         -- JSON list
  categories   TEXT    NOT NULL,         -- JSON list
  namespaced   INTEGER NOT NULL,
  columns      TEXT    NOT NULL,         -- JSON list
  columns_from TEXT    NOT NULL,
  schema       BLOB,                     -- digest in contents
  fingerprint  TEXT    NOT NULL,
  UNIQUE (fabric_id, grp, kind)
) STRICT;

CREATE TABLE runs (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  fabric_id      INTEGER NOT NULL REFERENCES fabrics ON DELETE CASCADE,
  trigger        TEXT    NOT NULL,
  actor          TEXT    NOT NULL,
  started_at     INTEGER NOT NULL,
  finished_at    INTEGER,
  outcome        TEXT    NOT NULL,
  code           TEXT    NOT NULL,
  message        TEXT    NOT NULL,
  version_before INTEGER NOT NULL,
  version_after  INTEGER NOT NULL,
  evidence       TEXT                    -- JSON, a list of what was proven of each kind
) STRICT;
CREATE INDEX runs_newest ON runs (fabric_id, outcome, id);
CREATE UNIQUE INDEX runs_one_at_a_time ON runs (fabric_id) WHERE outcome = 'running';

-- The latest period of every object ever seen: its state while until is NULL,
-- its tombstone after that.
CREATE TABLE objects (
  kind_id          INTEGER NOT NULL REFERENCES kinds ON DELETE CASCADE,
  namespace        TEXT    NOT NULL,
  name             TEXT    NOT NULL,
  fabric_id        INTEGER NOT NULL,
  uid              TEXT    NOT NULL,
  resource_version TEXT    NOT NULL,
  generation       INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,     -- by the cluster's clock
  digest           BLOB    NOT NULL,
  since            INTEGER NOT NULL,
  since_run        INTEGER NOT NULL,
  began            TEXT    NOT NULL,
  until            INTEGER,
  until_run        INTEGER,
  PRIMARY KEY (kind_id, namespace, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX objects_began ON objects (fabric_id, since_run);
CREATE INDEX objects_ended ON objects (fabric_id, until_run) WHERE until_run IS NOT NULL;

-- Every earlier period of an object.
CREATE TABLE history (
  kind_id    INTEGER NOT NULL REFERENCES kinds ON DELETE CASCADE,
  namespace  TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  since_run  INTEGER NOT NULL,
  fabric_id  INTEGER NOT NULL,
  uid        TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  digest     BLOB    NOT NULL,
  since      INTEGER NOT NULL,
  began      TEXT    NOT NULL,
  until      INTEGER NOT NULL,
  until_run  INTEGER NOT NULL,
  ended      TEXT    NOT NULL,
  PRIMARY KEY (kind_id, namespace, name, since_run)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_began ON history (fabric_id, since_run);
CREATE INDEX history_ended ON history (fabric_id, until_run);

-- The last reading of what moves without being a change.
CREATE TABLE vitals (
  kind_id          INTEGER NOT NULL REFERENCES kinds ON DELETE CASCADE,
  namespace        TEXT    NOT NULL,
  name             TEXT    NOT NULL,
  resource_version TEXT    NOT NULL,
  at               INTEGER NOT NULL,
  body             TEXT,
  PRIMARY KEY (kind_id, namespace, name)
) STRICT, WITHOUT ROWID;
