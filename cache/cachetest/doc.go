// Package cachetest helps to test code that uses caches, without a database.
//
// A [Cluster] is a number of pods in one process. Each pod has a [Bus], and an event that one publishes reaches the
// others when the test decides: Pause, Step, SetLag, Reset, SetFresh, Uncertain. The caches on top are the real ones.
//
// [TierContract] checks what every cache.Tier must do; call it in a test of your own Tier. [MemoryTier] is a tier in
// memory that can be made slow or faulty.
//
// # Limits
//
// There is no database behind a Bus, so transactions have no SQL unless they wrap a real one (Bus.Wrap). Pods do not
// die, queues do not overflow, and no event is lost except by Reset and NewEpoch.
//
// The package does not import testing; TB is the part of testing.TB that it needs.
package cachetest
