// Package watch puts triggers on tables, so that whatever changes their rows invalidates keys of a topic: psql, another
// language, a migration, a cascade. It needs the schema that bus.Migrate makes, but no running bus: the triggers write
// events to its log, and the pods read them there. A program that runs a bus has the same as methods of it, beginning
// with WatchTable.
//
// # Guarantees
//
//   - Every statement that changes rows of a watched table writes one event to the log in its own transaction, however
//     many rows it changes; one that changes none writes none. INSERT and COPY invalidate the keys of the new rows,
//     UPDATE those of the old and the new, DELETE those of the old, MERGE and INSERT … ON CONFLICT whatever they did,
//     TRUNCATE the whole topic. A row with NULL in a column of the key, a key of more than bus.MaxKeyLen bytes, and more
//     than MaxKeys keys make the event one of the whole topic.
//   - Triggers never fail the statement that they watch. They run with the rights of the log's owner, so writers need
//     none on its schema. When a column of the key was dropped or renamed, or a key cannot be computed, the statement goes
//     on with a warning and the whole topic is invalidated; List reports it. They cost some 30 µs for each statement.
//   - session_replication_role = replica does not switch the triggers off: they are ENABLE ALWAYS.
//
// # Limits
//
// The triggers do not see:
//
//   - Statements that name a partition, or a table that inherits, which was added after Install: call it again then. The
//     parts that are there get triggers too, foreign tables excepted. ATTACH and DETACH PARTITION are not seen.
//   - What a logical replication subscription applies: it runs no statement triggers, except for TRUNCATE and for the
//     first copy of a table.
//   - Statements while someone has switched the triggers off with ALTER TABLE … DISABLE TRIGGER, as pg_restore
//     --disable-triggers does.
//   - Changes of the table itself, such as ALTER TABLE … ALTER COLUMN … USING.
package watch
