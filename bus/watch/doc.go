// Package watch installs triggers on tables, so that every change of their rows invalidates keys of a topic,
// whichever program makes it: psql, another language, a migration, a cascade. It needs the schema that bus.Migrate
// creates, but no running bus: the triggers write events to the log, where the pods read them. A
// [github.com/pgcoherence/pgcoherence/bus.Postgres] has the same as methods, beginning with WatchTable.
//
// # Guarantees
//
//   - Every statement that changes rows of a watched table writes one event to the log in its own transaction,
//     however many rows it changes. A statement that changes no row writes none. INSERT and COPY invalidate the keys
//     of the new rows, UPDATE those of the old and the new rows, DELETE those of the old rows, MERGE and INSERT … ON
//     CONFLICT those of whatever they did, and TRUNCATE the whole topic. A row with NULL in a column of the key, a
//     key of more than bus.MaxKeyLen bytes, and more than MaxKeys keys make the event one of the whole topic.
//   - Triggers never fail the statement that they watch. They run with the rights of the log's owner, so writers need
//     no privilege on its schema. If a column of the key was dropped or renamed, or a key cannot be computed, the
//     statement continues with a warning and the whole topic is invalidated; List reports it. They cost about 30 µs
//     per statement.
//   - session_replication_role = replica does not disable the triggers: they are ENABLE ALWAYS.
//
// # Limits
//
// The triggers do not see:
//
//   - Statements that name a partition, or an inheriting table, that was added after Install: call Install again.
//     Existing ones get triggers, too, except foreign tables. ATTACH and DETACH PARTITION are not seen.
//   - What a logical replication subscription applies: it fires no statement triggers, except for TRUNCATE and for
//     the initial copy of a table.
//   - Statements while the triggers are disabled with ALTER TABLE … DISABLE TRIGGER, as pg_restore --disable-triggers
//     does.
//   - Changes of the table itself, such as ALTER TABLE … ALTER COLUMN … USING.
package watch
