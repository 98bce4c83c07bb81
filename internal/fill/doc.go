// Package fill holds the rules by which a cache decides what it may keep of what a load has read, what a lookup may
// serve, which load a reader may wait for, and from when a value for a tier is.
//
// The package does no I/O, reads no clock and starts no goroutine: everything comes in as arguments, so the same code
// runs in caches and in the search through all interleavings of internal/lab/explore.
//
// # The rules
//
// A load is recorded before anything is read for it, with the cache's epoch and the bus's position, in this order. It
// notes them again right before it reads from the database. An event is first remembered, in [history.History], then it
// detaches the load of its key and drops the entry; a reset first forgets the history and then begins an epoch. So a
// value that was read too early belongs to a load that is detached, or to an old epoch, or its snapshot does not see
// what is remembered.
//
// What [Judge.Admit] decides holds until the shard is unlocked, because an event needs the shard's lock to drop an entry.
// Only tags need no lock: [TagBook.Acquire] checks them once more.
package fill
