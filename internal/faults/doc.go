// Command faults breaks everything that a bus stands on, one thing after the other, and checks every read meanwhile.
//
//	go run -C internal/faults . -list
//	go run -C internal/faults . -run backend-terminated,postmaster-sigkill
//	go run -C internal/faults . -all -markdown
//	go run -C internal/faults . -controls
//	go run -C internal/faults . -all -pg 18
//
// Each row starts a Postgres of its own and pods that are processes of their own: copies of this program, on a leash,
// so that they end when it does. In each pod a small cache stands on a bus. Writers change rows through every path that
// publishes, readers read all keys from all caches, and an oracle in this process, which alone keeps the time, judges
// each answer:
//
//   - stale within the bound: a newer version was known to be committed when the read was sent, for less than
//     StaleAfter. That is allowed.
//   - stale beyond the bound: for longer. That breaks the promises G1 and G2.
//   - false confirms: an older version than one that was confirmed before the read was sent. That breaks G4.
//   - lost: when all is well again and nobody writes, a cache that does not hold what the database does, and an event
//     of a committed transaction that reached no subscriber and was not followed by a Reset. That breaks G1.
//
// A row passes with zero of the last three, and when all pods are Live again.
//
// # How the oracle knows
//
// A version counts as committed from the moment at which this process has evidence: the answer of the commit, or a read
// of the database by the oracle itself. A read counts from the moment at which it was sent. So both errors are on the
// side of the bus, and the bound needs no slack for them: what is reported is a violation.
//
// # Controls
//
// A check that cannot fail proves nothing. Each control switches one guard of the protocol off (internal/hook) and runs
// a fault that needs it: the oracle must report violations. With the guard on the same schedule must be clean.
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
