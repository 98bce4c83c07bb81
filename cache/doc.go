// Package cache keeps what a pod has read from Postgres in its memory, and drops it when any pod, or any other writer,
// commits a change. In front of a function that reads by key it is one line, whatever the function reads with:
//
//	users, err := cache.New(b, "users", cache.Func(repo.User), nil) // func (r *Repo) User(ctx context.Context, id int64) (User, error)
//	user, err := users.Get(ctx, id)                                 // instead of repo.User(ctx, id)
//
// The function reads from a pool (*pgxpool.Pool, *sql.DB, *gorm.DB), passes ctx on, and returns pgx.ErrNoRows, sql.ErrNoRows or
// ErrNotFound for a key that does not exist. What it returns is shared by all readers: the key must contain everything that the
// value depends on, such as the tenant, and nobody may change the value.
//
// In an outage of the database the cache does not answer for it: after the bus' StaleAfter every Get loads, and returns the
// loader's error. Config.WhenStale = cache.ServeFor(time.Second) goes on serving for a time that Confirm waits for, and
// Config.StaleOnError serves what is held whenever a load fails.
//
// Writers say what they change in the transaction that changes it:
//
//	tx, err := b.Begin(ctx)
//	…
//	tx.Exec(ctx, "UPDATE users SET name = $1 WHERE id = $2", name, id)
//	users.InvalidateTx(tx, id)
//	err = tx.Commit(ctx)
//
// There is no Set: what a cache holds is what its loader has read. A fill tells nobody anything; only writes do.
//
// # Keys and tags
//
// A key travels as text. Strings, integers, UUIDs and other byte arrays have one; for other types there is
// Config.KeyString. A value may have tags, of all that it was made from: InvalidateTags ends all values with a tag, however
// many, in one step. Tags share the topic: on the wire a tag is "~#" and its name, and a key that begins with "~" has "~="
// before it, so in SQL a tag is invalidated by pgcoherence.invalidate('users', '~#' || tag).
//
// # Loads
//
// Readers of one key share a load. Each leaves at its own deadline; the load goes on until LoadTimeout and fills the cache
// (CancelAbandoned ends it with its last reader). At most two loads of one key run at once, however often it is invalidated and
// however many readers want it fresh, and LoadConcurrency bounds all loads together. A load within a load waits for no permit,
// if the loader passes its context on. A panic of the loader is a *PanicError for all who wait. That a key does not exist is
// held for NegativeTTL. GetMany reads many keys at once, with a BatchLoader in one go; Warm does so before a pod is ready.
//
// A load is not its reader's: it has the values of the context of the reader that began it, for traces, but no deadline, and no
// transaction or connection that is in it. LoadContext chooses what else it sees.
//
// When the database fails, StaleOnError serves what is held for a bounded time; when it hangs, SoftTimeout says after how long.
// Loads of a key that fails are not repeated before FailureBackoff. RefreshAhead loads what is in use before its TTL ends.
//
// # Standbys
//
// A loader may read from a standby if it says in which snapshot: InSnapshot reads in one and returns it, and Loaded takes
// it along. A value is stored only if that snapshot sees every transaction that is known here to have invalidated the key, its
// tags, or all. If it does not, the loader is called once more, with WantPrimary.
//
// # Tiers
//
// A Tier behind the cache, such as Redis, is shared by all pods. It is never trusted: every value in it says from which
// snapshot it is, and a pod takes it only if that sees all that was invalidated there as far as this pod knows. So the tier may
// lose, delay or keep what it likes, be flushed or fail over; correctness does not need its deletes, its clock or its scripts.
//
// A key in a tier is
//
//	database : topic : program : key
//
// where database is a digest of the log that the bus reads, and program one of the codec and of the shape of the values' type
// (Config.TierVersion). So two databases on one Redis do not overwrite each other's values, and while a new version of a
// program is rolled out, old and new read each other's values only if they look the same. Every value also repeats its key,
// in an encoding that does not depend on KeyString.
//
// A BulkTier is asked for all keys of a GetMany at once. Values reach their readers before they are written to the tier.
//
// # Guarantees
//
//   - After Commit, Publish or Invalidate returned nil, no Get of this pod that begins later answers what was before.
//     GetAfter gives the same to other pods, and the bus' Confirm says when all pods are that far.
//   - A load that overlaps an invalidation, of its key, one of its tags, or all, or a reset, leaves nothing in the cache: those
//     who asked before may get the old value, those who ask later do not join it. The same holds for what comes from a
//     standby or a tier.
//   - While the bus cannot prove that it is in sync, nothing is served but for as long as ServeFor or StaleOnError say; the bus
//     knows of that time, so Confirm waits for it.
//   - A hit takes no lock (with EvictLRU it takes one), reads the clock once, and allocates nothing. A reset and an
//     invalidation of all or of a tag take the same time however much is held. There is no goroutine in the background.
//   - Nothing of a tier's troubles reaches a reader.
//   - A function of Config that panics, blocks, ends its goroutine or uses the cache costs its caller an error at most: none is
//     called under a lock.
//   - A key that cannot be sent makes the commit fail that InvalidateTx was called in.
//
// # Limits
//
//   - Values are shared between readers: do not change them, or set Config.Clone.
//   - Size is split over shards by a hash of the key; the order of eviction is that of a shard. Below two thousand entries
//     there is one shard, and both are exact. MaxCost is one bound for all shards.
//   - Invalidated entries are never served, but by tag, or when all is invalid, their memory is used again only as other
//     entries come.
//   - A reader within a transaction gets what is committed, not what the transaction has changed: read that from the
//     transaction. A transaction is found in a context by the methods Commit and Rollback of its type, or of a field of it;
//     what hides it better, such as a client made of a transaction, is for LoadContext to leave out.
//   - What a loader takes from its context beside the key decides for all readers what they get: a user's rights, a tenant,
//     settings for row level security. Make it part of the key, or leave it out by LoadContext.
//   - A key must be spelled as Postgres prints the column. Integers, byte arrays and UUIDs are read in every spelling; two
//     strings that Postgres takes for the same value, such as a UUID in upper case, are two keys. KeyColumn checks what can be
//     checked, and ForeignKeys counts what no key of the cache can be.
//   - That a key does not exist is held too, so whoever inserts has to invalidate.
//   - A load that asks for its own key is an error (ErrCycle); two that wait for each other's end with LoadTimeout. So do loads
//     that read other keys without passing their context on, when together they take all permits.
//   - A standby must follow the primary that the bus writes to. After a failover one that still follows the old primary must be
//     fenced off: its snapshots are of another history.
//   - While the bus is not fresh, a loader that answers from a standby although WantPrimary says otherwise is believed, and
//     what it answers is not stored.
//   - A tier's values expire by the pods' clocks: where these differ, so do the expiries. What is invalid does not depend on it.
//   - A tier's value from before the oldest invalidation that is remembered (Config.InvalidationHistory), or that
//     the log still held when this pod started, is not used.
//   - A loader must read from the database after it was called. What it keeps by itself, nobody can invalidate.
package cache
