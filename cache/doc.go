// Package cache keeps the values that a pod has read from Postgres in its memory, and drops a value when any pod, or
// any other writer, commits a change of it. A cache in front of a function that reads by key is one line, whatever
// library the function uses:
//
//	users, err := cache.New(b, "users", cache.Func(repo.User), nil) // func (r *Repo) User(ctx context.Context, id int64) (User, error)
//	user, err := users.Get(ctx, id)                                 // instead of repo.User(ctx, id)
//
// The function, called the loader, reads from a pool (*pgxpool.Pool, *sql.DB, *gorm.DB), passes ctx on, and returns
// pgx.ErrNoRows, sql.ErrNoRows or [ErrNotFound] for a key that does not exist; Config.NotFound adds other errors, such
// as gorm.ErrRecordNotFound. All readers share the value that it returns. So the key must contain everything that the
// value depends on, such as the tenant, and no reader may change the value.
//
// Writers invalidate keys in the transaction that changes the data:
//
//	tx, err := b.Begin(ctx)
//	…
//	tx.Exec(ctx, "UPDATE users SET name = $1 WHERE id = $2", name, id)
//	users.InvalidateTx(tx, id)
//	err = tx.Commit(ctx)
//
// There is no Set: a cache contains only what its loader has read. A fill sends nothing to other pods; only writes
// do.
//
// By default the cache does not hide an outage of the database: after the bus's StaleAfter every Get calls the loader
// and returns its error. With Config.WhenStale = cache.ServeFor(time.Second) the cache keeps serving for a time that
// Confirm waits for. With Config.StaleOnError it serves old values when a load fails.
//
// # Keys and tags
//
// A key travels as text. Strings, integers, UUIDs and other byte arrays have a text form; for other types set
// Config.KeyString. A value may have tags that name what it was made from: InvalidateTags invalidates all values with
// a tag, however many, in one step. Tags share the topic of the keys. In an event a tag is "~#" and its name, and a
// key that begins with "~" gets the prefix "~=". So SQL invalidates a tag by pgcoherence.invalidate('users', '~#' ||
// tag).
//
// # Loads
//
// Readers of one key share a load. Each reader leaves at its own deadline. The load continues until LoadTimeout and
// fills the cache (with CancelAbandoned it ends with its last reader). At most two loads of one key run at once,
// however often the key is invalidated and however many readers call GetFresh. LoadConcurrency bounds all loads
// together. A load within a load needs no permit if the loader passes its context on. A panic of the loader becomes a
// *[PanicError] for all its readers. The cache remembers for NegativeTTL that a key does not exist. GetMany reads
// many keys at once, with a [BatchLoader] in one call; Warm does so before a pod is ready.
//
// A load has the context values of the reader that began it, for traces, but not its deadline, and not a transaction
// or connection in it. LoadContext chooses which context values it has.
//
// StaleOnError serves old values for a bounded time when loads fail, and after SoftTimeout also when they hang.
// FailureBackoff delays the next load of a key after a failed one. RefreshAhead loads keys that are in use again
// before their TTL ends.
//
// # Standbys
//
// A loader may read from a standby if it returns the snapshot of its read: [InSnapshot] reads in one snapshot and
// returns it, for Loaded.Snapshot. The cache stores the value only if the snapshot sees every transaction that, as
// far as this pod knows, has invalidated the key, its tags, or all keys. If it does not, the loader is called once
// more with [WantPrimary].
//
// # Tiers
//
// A [Tier], such as Redis, is a second-level cache that all pods share. It is never trusted: every value in it
// contains the snapshot of its read, and a pod uses the value only if that snapshot sees everything that, as far as
// this pod knows, has invalidated it. So a tier may lose, delay or keep values, be flushed or fail over. Correctness
// does not depend on its deletes, its clock or scripts.
//
// A key in a tier is
//
//	database : topic : program : key
//
// where database is a digest of the log's epoch, and program a digest of the codec and of the form of the values'
// type (Config.TierVersion). So two databases can share a Redis, and during the rollout of a new version of a
// program, old and new pods read each other's values only if their form is the same. Every value also repeats its
// key, in an encoding that does not depend on KeyString.
//
// A [BulkTier] gets all keys of a GetMany in one call. Readers get their values before these are written to the tier.
//
// # Guarantees
//
//   - After Commit, Publish or Invalidate has returned nil, no Get of this pod that begins later returns the old
//     value. GetAfter gives the same guarantee on other pods, and the bus's Confirm waits until all pods have applied
//     the event.
//   - A load that overlaps a reset, or an invalidation of its key, of one of its tags or of all keys, stores nothing.
//     Readers that came before the invalidation may get the old value; later readers do not join the load. The same
//     holds for values from a standby or a tier.
//   - While the bus cannot prove that it is in sync, the cache serves nothing, except for the times of ServeFor and
//     StaleOnError. The bus knows the time of ServeFor, so Confirm waits for it.
//   - A hit takes no lock (with EvictLRU it takes one), reads the clock once, and allocates nothing. A reset, and an
//     invalidation of all keys or of a tag, take constant time. The cache has no background goroutine.
//   - Errors of a tier never reach a reader.
//   - No function of Config is called under a lock. One that panics, blocks, ends its goroutine or uses the cache
//     costs its caller at most an error.
//   - If a key has no valid text, InvalidateTx makes the commit of its transaction fail.
//
// # Limits
//
//   - Readers share values: do not change them, or set Config.Clone.
//   - Size is split over shards by a hash of the key, and the order of eviction is that of a shard. Below two
//     thousand entries there is one shard, and both are exact. MaxCost is one bound for all shards.
//   - Invalidated entries are never served. After an invalidation by tag or of all keys their memory is freed only as
//     new entries come.
//   - A reader within a transaction gets committed values, not the transaction's own changes: read those from the
//     transaction. A load recognizes a transaction in a context by the methods Commit and Rollback of its type, or of
//     a field of it. Use LoadContext to leave out anything that hides it better, such as a client made of a
//     transaction.
//   - All readers get a value that may depend on what the loader reads from its context: a user's rights, a tenant,
//     settings for row level security. Make it part of the key, or leave it out with LoadContext.
//   - A key must be spelled as Postgres prints the column. Integers, byte arrays and UUIDs are recognized in every
//     spelling. Two strings that Postgres takes for the same value, such as a UUID in upper case, are two keys.
//     KeyColumn checks what can be checked, and ForeignKeys in Stats counts keys in events that no key of the cache
//     can have.
//   - The cache also remembers that a key does not exist, so inserts have to invalidate, too.
//   - A load may outlive the request that began it. If a framework reuses its contexts, the load would see the values of
//     another request: pass the request's own context.
//   - A load that reads its own key returns [ErrCycle]. Two loads that wait for each other end with LoadTimeout. So
//     do loads that read other keys without passing their context on, if together they take all permits.
//   - A standby must follow the primary that the bus writes to. After a failover, fence off a standby that still
//     follows the old primary: its snapshots belong to another history.
//   - While the bus is not fresh, the cache cannot detect that a loader reads from a standby in spite of WantPrimary.
//     It returns such a value, but does not store it.
//   - A tier's values expire by the pods' clocks, so where clocks differ, expiries do. Invalidations do not depend on
//     clocks.
//   - A tier's value from before the oldest remembered invalidation (Config.InvalidationHistory), or from before the
//     oldest event that the log contained when this pod started, is not used.
//   - A loader must read from the database when it is called. The bus cannot invalidate values that the loader caches
//     itself.
package cache
