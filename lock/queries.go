package lock

import (
	"embed"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed query/*.sql
var queryFiles embed.FS

// queries are the statements, rendered for one schema.
type queries struct {
	acquire, acquireFree, acquireMany, claim, enqueue, guard, held, inspect, leave, list, makeFree, privileges, purge, purgeWaiters,
	raise, release, releaseFree, releaseMany, renew, steal, touch, unqueue string

	// Of shares, and of sessions.
	share, guardShare, releaseShare, renewShares, heldShares, purgeShares, holders, resize, reap, acquireBound, acquireBatch string
}

func loadQueries(schema string) *queries {
	load := func(name string) string { return sqltext.Load(queryFiles, "query/"+name+".sql", schema) }
	return &queries{
		acquire: load("acquire"), acquireFree: load("acquire_free"), acquireMany: load("acquire_many"), claim: load("claim"),
		enqueue: load("enqueue"), guard: load("guard"), held: load("held"), inspect: load("inspect"), leave: load("leave"),
		list: load("list"), makeFree: load("make_free"), privileges: load("privileges"), purge: load("purge"),
		purgeWaiters: load("purge_waiters"), raise: load("raise"), release: load("release"), releaseFree: load("release_free"),
		releaseMany: load("release_many"), renew: load("renew"), steal: load("steal"), touch: load("touch"), unqueue: load("unqueue"),

		share: load("share"), guardShare: load("guard_share"), releaseShare: load("release_share"), renewShares: load("renew_shares"),
		heldShares: load("held_shares"), purgeShares: load("purge_shares"), holders: load("holders"), resize: load("resize"), reap: load("reap"), acquireBound: load("acquire_bound"),
		acquireBatch: load("acquire_batch"),
	}
}
