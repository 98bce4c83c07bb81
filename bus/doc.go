// Package bus tells every pod of an application which cached copies are no longer valid, over the Postgres that the
// pods share anyway.
//
// A pod makes one *Postgres, calls Run in a goroutine, and subscribes its caches to topics. Writers invalidate keys of
// a topic in the transaction that changes the data, so that the data and the event are committed together or not at
// all:
//
//	tx, err := b.Begin(ctx)
//	…
//	tx.Exec(ctx, "UPDATE users SET name = $1 WHERE id = $2", name, id)
//	tx.Invalidate("users", id)
//	err = tx.Commit(ctx)
//
// Transactions that others own stage their events with Stage, StageSQL or InSQL; writers that know nothing of Go call
// the SQL function pgcoherence.invalidate(topic, keys…) in theirs. Writers that know nothing of the cache at all are
// covered by WatchTable: it puts triggers on a table which write an event for each statement that changes rows, with the
// keys of the old rows and the new ones. Package watch lists what triggers do not see, and does it without a bus.
//
// # How it works
//
// An event is a row in a table, the log, written in the writer's transaction. After the commit the pod announces it
// with a NOTIFY of its own: NOTIFY within a writing transaction takes a lock of the whole cluster over the flush to
// disk and undoes group commit, one without writes has nothing to flush. One of the pods sweeps: it reads, ten times a
// second, what became visible in the log since its last look, announces what nobody has announced, and closes with a
// mark. Every pod has a position in the order of the database's snapshots, moved by marks, and once a second writes its
// own row, whose answer is a snapshot: when the position has passed that, the pod was in sync when it asked. After
// a lost connection a pod reads what became visible since its position, and if it cannot, it resets.
//
// A notification wakes every pod. Where ten pods or more have much to announce, they leave it to the one that sweeps,
// which then does so more often: see Config.AnnounceInterval.
//
// # Guarantees
//
//   - Every event whose transaction committed reaches every running pod's subscribers, or they get a Reset before Fresh
//     answers true again: over lost connections, killed backends, crashes, failovers, publishers that die before they
//     announce, a full notification queue, and writers that never announce.
//   - Fresh answers true only if everything up to less than StaleAfter ago has been applied.
//   - Publishing costs one row in the writer's transaction and no round trip, and no trouble with notifications ever
//     fails a commit. BEGIN travels with the first statement, so a transaction of one statement takes two round trips, and
//     Publish takes one.
//   - After Commit, Publish or Staged.Committed this pod's own subscribers have the event, or have it in their queue.
//
// # Cost when nothing happens
//
// A pod writes its row once per BeatInterval, and one of them sweeps for all. With the defaults, all pods of a cluster
// together cost a day (internal/lab/bench, command idle):
//
//	pods   statements   WAL       transaction ids
//	3      1.4 million  52 MB     0.5 million
//	10     2.0 million  150 MB    1.1 million
//	100    9.8 million  2.1 GB    8.9 million
//
// Statements are constant texts without comments, prepared once for each connection, so they have few entries in
// pg_stat_statements; the name of a pod is in application_name only. BeatInterval and SweepInterval lower the cost in
// proportion.
//
// # Limits
//
//   - An event says that something changed, not what. Events of different transactions may arrive in any order, and
//     twice.
//   - A transaction that waits for a synchronous standby is invisible while it waits: its events come after.
//   - Prepared transactions (two-phase commit) cannot use Tx; rows staged in them work.
//   - The bus' own two connections must reach the primary and must not go through a pooler in transaction mode. Behind
//     one, the bus notices that notifications do not arrive and polls.
//   - Keys are exact in databases whose encoding is UTF8. In others a key that is not ASCII invalidates the whole topic,
//     and topics have to be ASCII.
//   - The log is an unlogged table: a crash of the server empties it, and everybody resets.
package bus
