// Package redistier is a cache.Tier in Redis or Valkey: alone, a cluster, or behind sentinels.
//
// It needs nothing of the server but GET, SET with PX, and UNLINK, so any version from 4.0 on will do, and managed ones. It
// uses no scripts, no transactions, no client-side caching. What makes a tier coherent is in the values, which package
// cache writes and judges: it does not matter to correctness whether Redis loses, keeps, or brings back anything.
//
// # Guarantees
//
//   - New does no I/O. The first call connects; a connection that is lost is made again by the next call. Attempts are
//     spaced out with jitter, one at a time for each of PoolSize connections, and addresses are resolved anew for each.
//   - A call ends when its context ends, whatever the server does, and after ReadTimeout at the latest.
//   - Whatever a server answers is an error or a value, never a panic: what it sends is checked before rueidis reads it.
//     (The answers of sentinels, and the shape of a cluster's topology, are trusted once connected.)
//   - Errors and logs name addresses, never a password.
//   - After Close no goroutine is left, but one of rueidis that may sleep for up to a second more.
//
// # Limits
//
// A breaker is not in here: package cache has one, and a deadline for each call.
package redistier
