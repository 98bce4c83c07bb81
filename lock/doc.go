// Package lock gives exclusive ownership of things to one process at a time, from the Postgres that the processes share
// anyway: leases with fencing tokens, a fair queue, guarded transactions, and leader elections.
//
// A process makes one Locker and calls Run in a goroutine; Do takes a lease, keeps it for as long as a function runs, and
// hands it to whoever has waited longest:
//
//	err := locks.Do(ctx, "report/2026-07", func(ctx context.Context, lease *lock.Lease) error {
//		tx, err := pool.Begin(ctx)
//		…
//		if err := lease.Guard(ctx, tx); err != nil { // this transaction commits before anybody else is granted the lease
//			return err
//		}
//		…
//		return tx.Commit(ctx)
//	})
//
// # How it works
//
// A lease is a row with a fencing token and a time at which it expires by the database's clock. Taking it is one
// statement, releasing it another, for all that are released at the same time together; renewing is one statement for all
// leases of a process, on a connection of its own.
// Whoever finds a lease held enters a queue, a row as well. Release hands the lease to the first in the queue whose
// process is alive, by writing that waiter's id into the row, and the same statement sends the id over the bus' channel,
// but only if somebody waits: so nobody polls, one is woken and not all, and NOTIFY costs nothing where there is no
// contention. The waiter owns nothing until it has claimed the lease by a statement of its own; if it does not within
// ClaimTTL, the next one may.
//
// A guard is a row lock, FOR KEY SHARE, on the lease's row in the caller's own transaction. Renewals, releases and hand-
// overs pass by it; a new token is written only under FOR UPDATE, which is refused for as long as a guarded transaction is
// open. No clock takes part in that.
//
// Which one to use: where the lease only saves work that would otherwise be done twice, the context of Do is enough.
// Where two owners at once would do damage, guard the transactions if what is to be protected lies in this database, and
// else let the other system refuse tokens smaller than the largest it has seen.
//
// # Guarantees
//
//   - A transaction that was guarded, and commits, has committed before anybody else was granted the lease; whatever
//     stood still meanwhile, and whatever the clocks say. At READ COMMITTED, REPEATABLE READ and SERIALIZABLE.
//   - Tokens only grow, over all keys of a schema: over crashes, restarts, failovers and restored backups. A token is an
//     incarnation, 15 bits, and a sequence, 48 bits; a grant is made only while the incarnation's row describes the
//     server process, database and table it is made in, and else a new one is begun. A process that gets a token smaller
//     than one it has had begins a new one too.
//   - A lease's context ends before another process can be granted the lease, unless it was taken by Steal, or the clocks
//     of the two machines run at rates that differ by more than a tenth (for a TTL of up to 20 s; 2 s for longer ones).
//     Elapsed time is the larger of monotonic and wall clock.
//   - First come, first served. A waiter that dies delays the others by ClaimTTL at most, and an owner that dies by its TTL.
//   - Statements whose answer was lost are asked again by the id of the grant: nothing is held that nobody knows of for
//     longer than its TTL.
//   - An idle Locker sends nothing but a look for rows to delete every five minutes. One that holds leases sends one
//     statement per third of the shortest TTL, one with waiters one a second.
//
// # Limits
//
//   - What is not guarded can overlap. A process that stands still between a look at its lease and what it then does is
//     overtaken: for how long is bounded by nothing but how long it stands still. A Go context is checked by code that
//     runs.
//   - A guard ends with its transaction: what a transaction did outside of the database is not undone by a refused one.
//   - The server's clock decides when a lease expires. If it is set forward, or that of a promoted standby is ahead, leases
//     expire early: guarded transactions are safe all the same.
//   - Under asynchronous replication a failover can lose the newest grants. Their guarded transactions are lost with them,
//     and the tokens that follow are larger. An old primary that nobody stops goes on granting: fence it, as Patroni and
//     its like do, or replicate synchronously, and then it grants nothing.
//   - Two servers that begin from the same copy begin incarnations of the same number: two standbys promoted one after the
//     other, the first of them thrown away; or a primary that was restarted, and lost before its standby heard of anything
//     it did since. A process that saw the first one's tokens notices; otherwise call RaiseIncarnation.
//   - A grant is on the server's disk, and on its synchronous standbys, before Acquire returns; Release does not wait for
//     that. If the server fails within about half a second after it and nobody was granted the lease since, the lease can
//     be there again, without an owner, until its TTL is over.
//   - synchronous_commit = off on the pool's connections gives tokens away before they are durable: a crash can issue them
//     twice. Leave it on.
//   - Where roles begin transactions at REPEATABLE READ or SERIALIZABLE by default, statements are repeated until they do
//     not conflict: correct, and slow under contention.
//   - A guarded transaction that stays open keeps the lease from its next owner. transaction_timeout and
//     idle_in_transaction_session_timeout bound it.
//   - Not re-entrant: who has a lease and asks for it again waits for itself.
package lock
