// Package cachetest helps to test code that uses caches, without a database.
//
// A Cluster is some pods in one process: each has a Bus, an event that one publishes reaches the others, and a test
// decides when and whether: Pause, Step, SetLag, Reset, SetFresh, Uncertain. The caches on top are the real ones.
//
// TierContract is what every cache.Tier must do; call it in a test of a Tier of your own. MemoryTier is one that lives in
// the process and can be made slow or faulty.
//
// # Limits
//
// There is no database behind a Bus, so there are no transactions to invalidate in. Pods do not die, queues do not
// overflow, and nothing is lost but by Reset and NewEpoch.
//
// The package does not import testing; TB is the part of testing.TB that it needs.
package cachetest
