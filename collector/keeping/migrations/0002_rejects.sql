-- Rejects say where they came from and can be tried once more. A row is never given the number of
-- one that is gone, since a replay names rows by their numbers.
CREATE TABLE rejects_2 (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
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
    track       TEXT NOT NULL,
    source      TEXT NOT NULL,     -- '' where nobody brought it, or before this was kept
    position    INTEGER NOT NULL,  -- where it stood in its source; -1: not known
    whole       INTEGER NOT NULL,  -- 0: the payload was cut, and cannot be tried once more
    original    INTEGER NOT NULL,  -- 1: the message as its source has it, to be mapped again
    sent_ms     INTEGER,           -- of such a message: the time beside its payload
    headers     BLOB NOT NULL      -- and its headers, MessagePack
);
INSERT INTO rejects_2
    SELECT id, seq, stream_ns, place, reason, detail, payload, time_ns, environment, service,
           version, track, '', -1, length(payload) < 4096 AND reason <> 'too_long', 0, NULL, x'90'
    FROM rejects ORDER BY id;
DROP TABLE rejects;
ALTER TABLE rejects_2 RENAME TO rejects;
CREATE INDEX rejects_of_reason ON rejects (reason, id);
CREATE INDEX rejects_of_source ON rejects (source, id);
-- How many there are: their numbers have gaps now.
INSERT INTO tally (name, total) SELECT 'rejects', COUNT(*) FROM rejects;
