// Package redistier is a cache.Tier in Redis or Valkey: a single server, a cluster, or a server behind sentinels.
//
// It needs only GET, MGET, SET with PX, and UNLINK of the server, so any version from 4.0 on works, and so do managed
// services. It uses no scripts, no transactions and no client-side caching. Package cache keeps a tier coherent by
// what it stores in the values. So it does not matter for correctness whether Redis loses, keeps, or restores them.
//
// # Guarantees
//
//   - New does no I/O. The first call connects, and a call after the loss of a connection reconnects. Attempts are
//     spaced out with jitter, one at a time for each of PoolSize connections. Each resolves the addresses again.
//   - A call returns when its context ends, whatever the server does, and after ReadTimeout at the latest.
//   - Whatever a server sends becomes an error or a value, and never a panic: it is checked before rueidis parses it.
//     (Replies of sentinels, and the form of a cluster's topology, are trusted once connected.)
//   - Errors and logs contain addresses, but never a password.
//   - After Close no goroutine is left, except one of rueidis that may sleep for up to another second.
//
// # Limits
//
// This package has no circuit breaker: package cache has one, and a deadline for each call.
package redistier
