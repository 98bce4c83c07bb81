// Package leasequeue is a model of the lease queue: what the statements of package lock do to the rows of one key, as pure
// code, for the search through all interleavings of internal/lab/explore.
//
// A test of package lock holds the model against the statements: it brings a real Postgres into each state that the
// model can reach, runs the shipped statement there, and compares the rows and the result with the model's. So one
// step of the model is one statement. That a statement is one step under concurrency follows from the lock on the lease's
// row, which each takes before it reads the queue.
//
// The model has exclusive leases only. Time is counted in ticks.
package leasequeue
