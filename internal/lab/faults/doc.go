// Command faults breaks everything that a bus stands on, one thing after the other, and checks every read meanwhile.
//
//	go run -C internal/lab/faults . -list
//	go run -C internal/lab/faults . -run backend-terminated,postmaster-sigkill
//	go run -C internal/lab/faults . -all -markdown
//	go run -C internal/lab/faults . -controls
//	go run -C internal/lab/faults . -all -pg 18
//	go run -C internal/lab/faults . -run promote -tier
//
// Each row starts a Postgres of its own and pods that are processes of their own: copies of this program, on a leash,
// so that they end when it does. In each pod one of the library's caches stands on a bus, over a loader that is slow now
// and then, so that invalidations overtake it. The rows redis-… have a real Redis behind the caches, and -tier gives one to
// all. Writers change rows through every path that publishes, by key and by tag, readers read all keys through all caches,
// and an oracle in this process, which alone keeps the time, judges each answer, wherever the pod has it from:
//
//   - stale within the bound: a newer version was known to be committed when the read was sent, for less than
//     StaleAfter. That is allowed.
//   - stale beyond the bound: for longer. That breaks the promises G1 and G2.
//   - false confirms: an older version than one that was confirmed before the read was sent. That breaks G4.
//   - lost: when all is well again and nobody writes, a cache that does not hold what the database does, and an event
//     of a committed transaction that reached no subscriber and was not followed by a Reset. That breaks G1.
//
// A row passes with zero of the last three, and when all pods are Live again. One with a Redis must also have served
// values from there, before the fault and after it: otherwise it proves nothing.
//
// Beside the cache, each pod has a subscriber behind a queue, as anybody's is: it remembers which events arrived. The
// rows subscriber-… put the cache behind a queue as well, and make both slow, hang or panic.
//
// # How the oracle knows
//
// A version counts as committed from the moment at which this process has evidence: the answer of the commit, or a read
// of the database by the oracle itself. A read counts from the moment at which it was sent. So both errors are on the
// side of the bus, and the bound needs no slack for them: what is reported is a violation.
//
// # Leases
//
// Rows that begin with lock- are about leases. Clients in each pod take them, add to the sets that they protect (read,
// think, write), hold them beyond their TTL, and give them up; this process calls them all and alone keeps the time.
// Porcupine then looks for an order of all operations on a key that a mutex with growing tokens allows and that agrees
// with the time: acquire, renew (a pod relies on the lease), guard (a guarded transaction commits), release, what the
// database says of a holder, and expiry, not before anybody ceases to rely on the lease. An operation whose answer never
// came stays open to the end; whether a write happened is looked up there. "no mutex" counts the keys without such an
// order, and tokens that went back; "lost" the elements that are missing in a set or stand behind those of a younger
// owner; "overlap" is the longest time for which a pod relied on a lease after another was known to have it: zero, and
// at most the TTL where a failover has lost grants.
//
// In the rows lock-share- and lock-takeover- some of the keys are for readers and writers and some are semaphores, and the model
// is that of such locks. Who shares a lease reads the set twice in a transaction that it guards, and locks one of as many rows
// as the semaphore has places: a set that changes in between, and a row that is not to be had, count as "no mutex". In the rows
// lock-takeover- leases end with the sessions of their processes; their TTL is longer than a row.
//
// Five controls do without Guard, alone, shared and under takeover, or rely on leases beyond their TTL or their session.
//
// # Sessions
//
// Rows that begin with session- are about sessions. Clients log in, write, rotate, log out, change passwords, and put and take
// one-time values, each step through any pod, while others ask all pods about good tokens and bad ones. Each count stands
// beside how often it could have been one, and a row in which one of them never could has failed:
//
//   - in beyond: let in although the session had been ended, or its user's password changed, for longer than StaleAfter
//     ("in within" for less, which is allowed). Old data that is served for longer counts here as well.
//   - back to life: written, found in the database, or valid there, after that. There is no bound.
//   - late logins: of those who had checked the old password.
//   - false confirms: let in after the end was confirmed.
//   - saves lost: two saves of one version, or an element that is not in a later version.
//   - another's: a session, a user or a one-time value of somebody else; also a token from before a login that is logged in
//     after it.
//   - overdue: let in after the deadline. In session-skew the pods' clocks are an hour off.
//   - old tokens: let in by a token that was replaced, beyond its grace and StaleAfter.
//   - taken twice: one-time values.
//   - leaks: tokens, what proves them, one-time values and data in the pods' logs, which are told everything, the errors of
//     all calls among it, or in a notification.
//   - refused: a valid session, or a one-time value to all who wanted it.
//
// # Soak
//
//	go run -C internal/lab/faults . --soak 30m --json soak.json
//	go run -C internal/lab/faults . --soak 1s --schedule 'listen-cut+pg-immediate@300ms'
//	go run -C internal/lab/faults . --soak 1s --weaken FreshWithoutBeat --schedule 'truncate,listen-cut'
//
// A soak plays rounds. Each has a Postgres, a Redis where there is one, and pods that do all at once on one bus: a cache,
// sessions and leases, each under the load and the oracle of its rows. Faults of the matrix come by chance, one or two at a
// time, of two different kinds; the next ones when all pods are in sync again. Each round's seed gives its faults.
//
// Reads are checked within the pods, as fast as they can read. The parent writes three versions of each key into memory that
// all share: the newest that is known to be committed, the newest that has been for longer than the bound, and the newest that
// was confirmed. A reader loads them before it reads, so a value that is older than one of the last two is a violation, and
// no clock has to be asked. What a pod has counted lies there as well, so that it outlives the pod.
//
// A round in which a promise was broken prints its seed and its schedule, and delta debugging looks for the smallest part of
// the schedule that fails as well. The report says for how many checks how many violations there were, and how seldom
// they are at the most, with 95 % confidence (Clopper and Pearson's limit; for none it is the rule of three). Reads of one key
// between two writes are not independent of each other: the same figure for writes is the careful one.
//
// # Controls
//
// A check that cannot fail proves nothing. Each control switches one guard of the bus, the cache or the session store off
// (internal/hook) and runs a fault that needs it: the oracle must report violations, for sessions the very ones that the
// guard is against. With the guard on the same schedule must be clean.
//
// # Limits
//
//   - The pods of the row 50-pods are parts of this process; everywhere else they are processes. One machine, one clock.
//   - The transactions in progress of many-in-progress are prepared ones: 500 sessions would say the same for more.
//   - A stepped clock of the database is no row: nothing in the protocol asks it. (Pruning goes by the pods' own.)
//   - disk-full fills the disk of the log and mounts a small tmpfs for it, as root on Linux; one that is killed by
//     SIGKILL leaves the mount behind, and nothing else does.
//   - A row that this machine cannot run says so on standard error, and is not counted.
package main
