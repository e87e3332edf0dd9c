-- +goose Up
CREATE TABLE users (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT    NOT NULL UNIQUE,
  password   TEXT    NOT NULL,           -- argon2id, as it is usually written
  role       TEXT    NOT NULL,           -- in every fabric, '' for none
  failures   INTEGER NOT NULL DEFAULT 0, -- sign-ins in a row that failed
  failed_at  INTEGER NOT NULL DEFAULT 0, -- the last of them
  created_at INTEGER NOT NULL
) STRICT;

-- Roles in single fabrics.
CREATE TABLE grants (
  user_id   INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  fabric_id INTEGER NOT NULL REFERENCES fabrics ON DELETE CASCADE,
  role      TEXT    NOT NULL,
  PRIMARY KEY (user_id, fabric_id)
) STRICT, WITHOUT ROWID;

-- Who is signed in. The token itself is known to the browser only.
CREATE TABLE sessions (
  token      BLOB PRIMARY KEY,           -- its SHA-256
  user_id    INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at INTEGER NOT NULL,
  used_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of ON sessions (user_id);
