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
// A shared lease, and one place of a semaphore, is a row of its own, with a token; together they are a group that holds the
// lease's row, which nobody else can take before the last of them has ended. A guard of one locks both rows. All wait in the
// same queue, and a hand-over passes from one reader to the next as long as the first in the queue may be taken in:
//
//	readers, err := locks.AcquireShared(ctx, "index") // beside other readers; Acquire is the writer's
//
//	imports, err := locks.Semaphore("imports", 4) // at most four at once, over all processes
//	err = imports.Do(ctx, func(ctx context.Context, lease *lock.Lease) error { … })
//
// Elections are leases with names. [Election.Run] calls a function for each term, [Election.RunCallbacks] has the shape of
// client-go; [Election.Leads] asks nobody, [Election.IsLeader] asks the database. A service that routes to the leader only,
// as by a readiness gate or a label that the leader sets on its own pod in OnStartedLeading and removes in OnStoppedLeading,
// has it answer a probe:
//
//	mux.HandleFunc("/leader", func(w http.ResponseWriter, r *http.Request) {
//		if leads, err := election.IsLeader(r.Context()); err != nil || !leads {
//			w.WriteHeader(http.StatusServiceUnavailable)
//		}
//	})
//
// Which one to use: where the lease only saves work that would otherwise be done twice, the context of Do is enough.
// Where two owners at once would do damage, guard the transactions if what is to be protected lies in this database, and
// else let the other system refuse tokens smaller than the largest it has seen.
//
// # Guarantees
//
//   - A transaction that was guarded, and commits, has committed before anybody else was granted the lease; whatever
//     stood still meanwhile, and whatever the clocks say. At READ COMMITTED, REPEATABLE READ and SERIALIZABLE.
//
//   - Tokens only grow, over all keys of a schema: over crashes, restarts, failovers and restored backups. A token is an
//     incarnation, 24 bits, and a sequence, 39 bits; a grant is made only while the incarnation's row describes the
//     server process, database and table it is made in, and else a new one is begun: the minutes since the beginning of
//     2026, or one more than the last. A process that gets a token smaller than one it has had begins a new one too.
//
//   - A lease's context ends before another process can be granted the lease, unless it was taken by Steal, or the clocks
//     of the two machines run at rates that differ by more than a tenth (for a TTL of up to 20 s; 2 s for longer ones).
//     Elapsed time is the larger of monotonic and wall clock.
//
//   - First come, first served; but a waiter whose context ends within 15 ms is passed over, because what it is handed
//     would come too late. A process with waiters that dies delays a queue by ClaimTTL, however many of its waiters are in
//     it, and an owner that dies by its TTL.
//
//   - Contexts bound calls: Acquire and its like return when ctx ends, at most 50 ms later where a claim is under way. The
//     statement that is under way goes on to its end, within 15 s, and is then undone: what was cancelled does not happen
//     later.
//
//   - Statements whose answer was lost are asked again by the id of the grant: nothing is held that nobody knows of for
//     longer than its TTL.
//
//   - An idle Locker sends nothing but looks for rows to delete every five minutes. One that holds leases sends one
//     statement for each thousand of them per third of the shortest TTL, one with waiters one a second.
//
//   - Clients in any language that call the SQL functions of the schema contend for the same keys in the same queues; see
//     the directory clients.
//
//   - Of a key's shared leases any number are held at once, and no exclusive one beside them; of a semaphore's never more than the
//     number it is held with. No reader passes by a writer that waits, and no writer by readers.
//
//   - With Config.TakeoverAfter a process that dies is replaced when its session has ended for that long. Its context has ended
//     by then, or its transaction is refused; see there for the price.
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
//   - Two servers that begin from the same copy within the same minute begin the same incarnation, and one whose clock is
//     behind by more than the time since the last incarnation can begin a smaller one than was seen. A process that saw
//     larger tokens notices; otherwise call RaiseIncarnation. The same holds for a restore while processes of the previous
//     version, which round incarnations up to the next multiple of 512 minutes, still run.
//   - A guard inside a savepoint ends when the savepoint is rolled back, and the transaction is not told. Guard the outer
//     transaction, at its end, or guard it again; a savepoint that is released keeps its guard.
//   - Tokens are 64-bit integers beyond 2⁵³: JavaScript's numbers cannot hold them.
//   - A grant is on the server's disk, and on its synchronous standbys, before Acquire returns; Release does not wait for
//     that. If the server fails within about half a second after it and nobody was granted the lease since, the lease can
//     be there again, without an owner, until its TTL is over.
//   - synchronous_commit = off on the pool's connections gives tokens away before they are durable: a crash can issue them
//     twice. Leave it on.
//   - Where roles begin transactions at REPEATABLE READ or SERIALIZABLE by default, statements are repeated until they do
//     not conflict: correct, and slow under contention.
//   - A guarded transaction that stays open keeps the lease from its next owner. transaction_timeout and
//     idle_in_transaction_session_timeout bound it.
//   - A semaphore has several holders with tokens of their own: a system outside of the database that refuses tokens smaller than
//     the largest it has seen has to do so for each thing that one holder works on.
//   - Steal takes a key from all who share it.
//   - Not re-entrant: a reader who asks for the key alone waits for itself, and who has a lease and asks for it again waits for itself.
package lock
