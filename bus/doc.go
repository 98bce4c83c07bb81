// Package bus notifies every pod of an application which cached copies are no longer valid. It needs only the
// Postgres that the pods already share.
//
// A pod makes one [Postgres] bus, calls its Run method in a goroutine, and subscribes its caches to topics. Writers
// invalidate keys of a topic in the transaction that changes the data, so that data and event commit together or not
// at all:
//
//	tx, err := b.Begin(ctx)
//	…
//	tx.Exec(ctx, "UPDATE users SET name = $1 WHERE id = $2", name, id)
//	tx.Invalidate("users", id)
//	err = tx.Commit(ctx)
//
// A program that has no pgx pool calls [Open] instead. For transactions that other code commits, events are staged
// with Stage, StageSQL or InSQL. Writers in other languages call the SQL function pgcoherence.invalidate(topic,
// keys…) in their transaction. For all other writers there is WatchTable: it installs triggers on a table that write
// an event for each statement that changes rows, with the keys of the old and the new rows. Package
// [github.com/pgcoherence/pgcoherence/bus/watch] does the same without a bus, and lists which changes triggers do not
// see.
//
// # How it works
//
// An event is a row in a table, the log, written in the writer's transaction. After the commit the pod announces it
// with a separate NOTIFY. (A NOTIFY inside of a writing transaction takes a lock of the whole cluster while the
// commit is flushed to disk, which undoes group commit. A transaction with nothing but NOTIFY has nothing to flush.)
//
// One of the pods sweeps for all: ten times a second it reads what has become visible in the log since its last
// sweep, announces the events that no pod has announced, and ends with a mark. Every pod has a position in the order
// of the database's snapshots, which marks advance. Once a second each pod writes its own row, and the statement
// returns a snapshot. When the pod's position has passed that snapshot, the pod is proven to have been in sync when
// it sent the statement. After a lost connection a pod reads what became visible since its position. If it cannot, it
// resets.
//
// A notification wakes every pod. Where ten or more pods have much to announce, they leave it to the pod that sweeps,
// which then sweeps more often: see [Config].AnnounceInterval.
//
// # Guarantees
//
//   - Every event whose transaction committed reaches the subscribers of every running pod, or they get a Reset
//     before Fresh returns true again. This holds across lost connections, killed backends, crashes, failovers,
//     publishers that die before they announce, a full notification queue, and writers that never announce.
//   - Fresh returns true only if the pod has applied everything that was committed up to a moment less than
//     StaleAfter ago.
//   - Publishing costs one row in the writer's transaction and no extra round trip, and problems with notifications
//     never fail a commit. BEGIN travels with the first statement, so a transaction of one statement takes two round
//     trips, and Publish takes one.
//   - After Commit, Publish or Staged.Committed this pod's own caches have dropped the keys, and its other
//     subscribers have the event in their queues.
//
// # Cost when idle
//
// A pod writes its row once per BeatInterval, and one pod sweeps for all. With the defaults, all pods of a cluster
// together cost per day (measured by internal/lab/bench, command idle):
//
//	pods   statements   WAL       transaction ids
//	3      1.4 million  52 MB     0.5 million
//	10     2.0 million  150 MB    1.1 million
//	100    9.8 million  2.1 GB    8.9 million
//
// Statements are constant texts without comments, prepared once for each connection, so they have few entries in
// pg_stat_statements. The name of a pod appears only in application_name. Larger values of BeatInterval and
// SweepInterval lower the cost in proportion.
//
// # Limits
//
//   - An event says that something changed, not what. Events of different transactions may arrive in any order, and
//     twice.
//   - A transaction that waits for a synchronous standby is invisible while it waits. Its events arrive after that.
//   - Prepared transactions (two-phase commit) cannot use Tx. Staging events in them works.
//   - The bus's own two connections must reach the primary, and not through a pooler in transaction mode. Behind such
//     a pooler the bus detects that notifications do not arrive, and polls.
//   - Keys are exact in databases with the encoding UTF8. In others, a key that is not ASCII invalidates the whole
//     topic, and topics have to be ASCII.
//   - The log is an unlogged table: a crash of the server empties it, and all pods reset.
package bus
