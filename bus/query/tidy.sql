-- Deletes events whose transaction cannot have written them: it has not begun ($1 at most), or everything of it was deleted
-- long ago. A role that may insert can put any number there; no pod reads such a row, and no prune comes to it. $2 xmax of the
-- snapshot up to which everything is deleted, '0' to leave these rows for now, $3 transactions in progress in it.
-- A row that this statement sees was committed, so its own transaction is below the xmax of the statement's snapshot.
DELETE FROM /*schema*/pgcoherence.event WHERE ctid = ANY (array(
    (SELECT ctid FROM /*schema*/pgcoherence.event WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) ORDER BY xid LIMIT $1)
    UNION ALL
    (SELECT ctid FROM /*schema*/pgcoherence.event WHERE xid < $2::text::xid8 AND xid <> ALL ($3::text[]::xid8[]) ORDER BY xid LIMIT $1)))
