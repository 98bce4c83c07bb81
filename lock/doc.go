// Package lock gives exclusive ownership of a key to one process at a time, over the Postgres that the processes
// share: leases with fencing tokens, a fair queue, guarded transactions, shared leases, semaphores and leader
// elections.
//
// A process makes one [Locker] and calls its Run method in a goroutine. Do acquires a lease, renews it while a
// function runs, and grants it to the process that has waited longest:
//
//	err := locks.Do(ctx, "report/2026-07", func(ctx context.Context, lease *lock.Lease) error {
//		tx, err := pool.Begin(ctx)
//		…
//		if err := lease.Guard(ctx, tx); err != nil { // the lease is granted to no other process before this transaction ends
//			return err
//		}
//		…
//		return tx.Commit(ctx)
//	})
//
// # Which one to use
//
// If the lease only avoids duplicate work, the context of Do is enough. If two owners at once would do damage, guard
// the transactions (if the data is in this database), or let the other system refuse tokens smaller than the largest
// that it has seen.
//
// # How it works
//
// A lease is a row with a fencing token and an expiry time on the database's clock. Acquiring it is one statement.
// Releasing is one statement for all leases that are released at the same time. Renewing is one statement for all
// leases of a process, on a connection of its own.
//
// A process that finds a lease held enters a queue, which is a row, too. Release grants the lease to the first live
// waiter in the queue: it writes the waiter's id into the row and, in the same statement, sends it over the bus's
// channel. It does so only if there is a waiter. So no process polls, only one is woken, and without contention there
// is no NOTIFY. The waiter owns nothing until it has claimed the lease with a statement of its own. If it does not do
// so within ClaimTTL, the next waiter is granted the lease.
//
// A guard is a row lock, FOR KEY SHARE, on the lease's row in the caller's own transaction. It does not block
// renewals, releases and grants to waiters. A new token is only written under FOR UPDATE, which
// Postgres refuses while a guarded transaction is open. No clock is involved in that.
//
// A shared lease, and one place of a semaphore, is a row of its own, with a token. Together these rows are a group
// that holds the lease's row, which no other process can acquire before the last of them has ended. A guard locks
// both rows. All waiters are in the same queue, and shared waiters are granted the lease one after the other while
// the first in the queue is compatible:
//
//	readers, err := locks.AcquireShared(ctx, "index") // with other readers; a writer uses Acquire
//
//	imports, err := locks.Semaphore("imports", 4) // at most four at once, over all processes
//	err = imports.Do(ctx, func(ctx context.Context, lease *lock.Lease) error { … })
//
// Elections are leases with names. [Election.Run] calls a function for each term, and [Election.RunCallbacks] has the
// form of client-go. [Election.Leads] is local, [Election.IsLeader] reads the database. A service that routes only to
// the leader, by a readiness gate or a label, uses it in a probe:
//
//	mux.HandleFunc("/leader", func(w http.ResponseWriter, r *http.Request) {
//		if leads, err := election.IsLeader(r.Context()); err != nil || !leads {
//			w.WriteHeader(http.StatusServiceUnavailable)
//		}
//	})
//
// # Guarantees
//
//   - A guarded transaction that commits has committed before another process is granted the lease, however long a
//     process was paused and whatever the clocks show. This holds at READ COMMITTED, REPEATABLE READ and
//     SERIALIZABLE.
//   - Tokens only grow, over all keys of a schema, across crashes, restarts, failovers and restored backups. A token
//     consists of an incarnation (24 bits) and a sequence (39 bits). A lease is granted only while the incarnation's
//     row describes the server process, database and table that grant it. Otherwise a new incarnation is begun: the
//     minutes since the beginning of 2026, or the last incarnation plus one. A process that gets a smaller token than
//     one that it has had begins a new one, too.
//   - A lease's context ends before another process can be granted the lease, unless the lease was stolen, or the
//     clocks of the two machines run at rates that differ by more than a tenth (for a TTL of up to 20 s; 2 s for
//     longer ones). Elapsed time is the larger of monotonic and wall clock.
//   - First come, first served, except that a waiter whose context ends within 15 ms is skipped, because a grant
//     would come too late. A process that dies delays a queue by ClaimTTL if it was waiting, however many waiters it
//     had, and by the TTL if it was the owner.
//   - Contexts bound calls: Acquire and its variants return when ctx ends, or at most 50 ms later while a claim is
//     running. A running statement continues to its end, within 15 s, and is then undone, so a cancelled acquisition
//     does not take effect later.
//   - A statement whose response was lost is repeated with the id of the grant, so no lease without a known owner
//     outlives its TTL.
//   - An idle Locker sends only a query for rows to delete, every five minutes. With leases it sends one statement
//     per thousand leases in each third of the shortest TTL; with waiters one per second.
//   - Clients in any language that call the SQL functions of the schema compete for the same keys in the same queues;
//     see the directory clients.
//   - Any number of shared leases of a key can be held at once, but none together with an exclusive lease. A
//     semaphore never has more holders than its limit. No reader overtakes a waiting writer, and no writer overtakes
//     waiting readers.
//   - With Config.TakeoverAfter, a process that dies is replaced that long after its session has ended. By then its
//     context has ended, or its transactions are refused. Config.TakeoverAfter describes the price.
//
// # Limits
//
//   - Work that is not guarded can overlap. A process that is paused between a check of its lease and the work that
//     follows can be overtaken, and only the length of the pause bounds for how long. A Go context only has effect on
//     code that checks it.
//   - A guard ends with its transaction. What a refused transaction did outside of the database is not undone.
//   - The server's clock decides when a lease expires. If it is set forward, or a promoted standby's clock is ahead,
//     leases expire early. Guarded transactions are safe all the same.
//   - With asynchronous replication a failover can lose the newest grants and renewals. Guarded transactions of lost
//     grants are lost with them, and later tokens are larger. An old primary that keeps running keeps granting: fence
//     it, as Patroni and similar tools do, or replicate synchronously, and then it grants nothing.
//   - Two servers that start from the same copy within the same minute begin the same incarnation, and a server whose
//     clock is behind by more than the time since the last incarnation can begin a smaller one. A process that saw
//     larger tokens notices that; otherwise call RaiseIncarnation. The same holds for a restore while processes of
//     the previous version, which round incarnations up to the next multiple of 512 minutes, still run.
//   - A guard inside a savepoint ends when the savepoint is rolled back, and the transaction does not notice. Guard
//     the outer transaction, at its end, or guard it again. A released savepoint keeps its guard.
//   - Tokens are 64-bit integers above 2⁵³, which JavaScript's numbers cannot represent.
//   - A grant is on the server's disk, and on its synchronous standbys, before Acquire returns. Release does not wait
//     for the disk. If the server fails within about half a second after a Release, and no process was granted the
//     lease since, the lease can reappear without an owner until its TTL ends.
//   - synchronous_commit = off on the pool's connections grants tokens before they are durable, and a crash can then
//     issue them twice. Leave it on.
//   - For roles whose transactions are REPEATABLE READ or SERIALIZABLE by default, statements are repeated until they
//     do not conflict: correct, and slow under contention.
//   - A guarded transaction that stays open keeps the lease from its next owner. transaction_timeout and
//     idle_in_transaction_session_timeout bound it.
//   - A semaphore has several holders, each with a token of its own. A system outside of the database that refuses
//     smaller tokens must compare them separately for each thing that a single holder works on.
//   - Steal takes a key from all who share it.
//   - Leases are not re-entrant: a process that has a lease, exclusive or shared, and acquires the same key
//     exclusively, waits for itself.
package lock
