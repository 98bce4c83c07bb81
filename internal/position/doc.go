// Package position holds the rules by which a pod knows how far it has applied the event log: snapshots of one
// primary, their stamps, and the Tracker that moves a position by difference reads, marks and beats.
//
// The package does no I/O, reads no clock and starts no goroutine: everything comes in as arguments, so the same code
// runs under the bus and under randomized simulations.
//
// # Snapshots and stamps
//
// A snapshot is what pg_current_snapshot() prints: xmin:xmax:xip. Its stamp is (xmax, number of transactions in
// progress). Between two snapshots of one primary either xmax grew, or it stayed and transactions can only have left
// the list, so stamps order all snapshots of one primary totally, and equal stamps mean equal snapshots. (Measured:
// no violation in 1.4 million samples with savepoints. On a standby the list is always empty: never mix the two.)
package position
