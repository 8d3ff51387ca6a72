-- The first schema. Times are event times in nanoseconds since 1970 UTC unless a line says clock.
-- A "packed" body is four columns: codec says how to read it, size is its length before packing,
-- crc is the CRC-32 of the stored bytes (SQLite pages carry no checksum of their own).

-- One row: whoever may write, and how far the log has come.
CREATE TABLE fence (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    epoch     INTEGER NOT NULL,  -- raised by every exclusive opening; a writer of an older one stops
    seq       INTEGER NOT NULL,  -- the last committed turn
    forgotten INTEGER NOT NULL   -- the newest turn whose intake has been trimmed away
);
INSERT INTO fence (one, epoch, seq, forgotten) VALUES (1, 0, 0, 0);

-- What came in, turn by turn, as it came: replaying it gives the live verdicts again.
CREATE TABLE intake (
    seq       INTEGER PRIMARY KEY,
    stream_ns INTEGER NOT NULL,
    codec     TEXT NOT NULL,
    size      INTEGER NOT NULL,
    crc       INTEGER NOT NULL,
    stored    INTEGER NOT NULL,  -- bytes on disk, so that trimming need not read bodies
    body      BLOB NOT NULL
);

CREATE TABLE cells (
    seq    INTEGER PRIMARY KEY,  -- of the newest turn that is in it
    codec  TEXT NOT NULL,
    size   INTEGER NOT NULL,
    crc    INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    body   BLOB NOT NULL
);

CREATE TABLE seen (
    seq       INTEGER PRIMARY KEY,
    newest_ns INTEGER NOT NULL,  -- nothing in it happened later: beyond the horizon it may go
    codec     TEXT NOT NULL,
    size      INTEGER NOT NULL,
    crc       INTEGER NOT NULL,
    stored    INTEGER NOT NULL,
    body      BLOB NOT NULL
);

-- The small rest of the state: one row, replaced.
CREATE TABLE memory (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    codec  TEXT NOT NULL,
    size   INTEGER NOT NULL,
    crc    INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    body   BLOB NOT NULL
);

CREATE TABLE markers (
    id        INTEGER PRIMARY KEY,
    seq       INTEGER NOT NULL,
    stream_ns INTEGER NOT NULL,
    body      BLOB NOT NULL
);

CREATE TABLE rejects (
    id          INTEGER PRIMARY KEY,
    seq         INTEGER NOT NULL,
    stream_ns   INTEGER NOT NULL,
    place       INTEGER NOT NULL,  -- its index in the batch
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    payload     BLOB NOT NULL,
    time_ns     INTEGER,           -- as far as it could be read
    environment TEXT NOT NULL,
    service     TEXT NOT NULL,
    version     TEXT NOT NULL,
    track       TEXT NOT NULL
);

CREATE TABLE verdicts (
    id         INTEGER PRIMARY KEY,
    seq        INTEGER NOT NULL,
    deployment TEXT NOT NULL,
    as_of_ns   INTEGER NOT NULL,
    codec      TEXT NOT NULL,
    size       INTEGER NOT NULL,
    crc        INTEGER NOT NULL,
    stored     INTEGER NOT NULL,
    body       BLOB NOT NULL
);
CREATE INDEX verdicts_of_deployment ON verdicts (deployment, id);

-- How far each source has been read; moved by compare-and-set in the commit of what was read.
CREATE TABLE positions (
    source   TEXT PRIMARY KEY,
    position TEXT NOT NULL
);

-- Notices on their way out. due_ns and sent_ns are clock times. A delivered row with a due_ns is
-- an alert that must be said again then; without one it is finished.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    seq        INTEGER NOT NULL,
    key        TEXT NOT NULL,
    channel    TEXT NOT NULL,
    deployment TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given_up')),
    due_ns     INTEGER,
    sent_ns    INTEGER,
    attempts   INTEGER NOT NULL,  -- every try, ever
    failures   INTEGER NOT NULL,  -- in a row, since it was last delivered
    error      TEXT NOT NULL,
    payload    BLOB NOT NULL,
    UNIQUE (channel, key)
);
CREATE INDEX outbox_of_deployment ON outbox (channel, deployment, id);
CREATE INDEX outbox_waiting ON outbox (channel, deployment, id) WHERE state = 'waiting';
CREATE INDEX outbox_repeating ON outbox (due_ns) WHERE state = 'delivered' AND due_ns IS NOT NULL;
CREATE INDEX outbox_finished ON outbox (id) WHERE state <> 'waiting' AND due_ns IS NULL;

-- Totals that cannot be counted from the rows any more, or only by reading all of them.
CREATE TABLE tally (
    name  TEXT PRIMARY KEY,
    total INTEGER NOT NULL
);
