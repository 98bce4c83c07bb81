package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/fill"
)

// Stats is a snapshot of the counts and the content of a cache. Counts start at zero when the cache is made.
type Stats struct {
	Topic   string
	Entries int   // values; some may have expired, or were invalidated by tag
	Absent  int   // keys known not to exist, likewise
	Cost    int64 // of all entries that take up room, if MaxCost is set
	Loading int   // keys being loaded that a reader could join

	Hits         int64
	NegativeHits int64 // reads of keys known not to exist, without a load
	Misses       int64
	Joined       int64 // of the misses and the bypassed reads: those that waited for a load that another reader began
	Bypassed     int64 // reads while the bus was not fresh
	Stale        int64 // reads served while the bus was not fresh (ServeFor, also counted as hits), or after a load failed

	Loads          int64 // loads that returned a value
	LoadsNotFound  int64
	LoadErrors     int64 // including timeouts and panics
	LoadTimeouts   int64
	LoadPanics     int64
	LoadsCanceled  int64 // no reader waited any more, or the cache was closed
	LoadsRestarted int64 // reads that loaded again, because a tag had invalidated the shared load's value before they began

	Refreshes          int64 // loads that RefreshAhead began
	PeeksHeld          int64 // calls of Peek that found a value
	PeeksAbsent        int64 // that found that the key does not exist
	PeeksUnknown       int64 // that found no entry
	ForeignKeys        int64 // keys in events that no key of this cache can have
	CallbackPanics     int64 // of functions of Config, including those that block for too long where the bus waits for them
	HiddenTransactions int64 // times that a loader looked up its caller's transaction in the context
	EvictionsDropped   int64 // values that OnEvict was not called for

	RefusedFills map[string]int64 // loaded but not stored, by reason: invalidated, epoch, snapshot, uncertain, position, cost, tag

	EvictedCapacity    int64
	EvictedExpired     int64
	EvictedInvalidated int64

	Invalidations int64 // keys, tags and whole topics that events named
	Resets        map[bus.Reason]int64
	Cleared       int64 // by the policy Clear
	Remembered    int   // recent invalidations that values from a standby or tier are checked against

	TierHits, TierMisses, TierRefused, TierErrors, TierSkipped int64
	TierSets, TierDeletes, TierDeletesDropped, CodecErrors     int64

	Audit AuditStats
}

// refusal is why a value that was loaded is not stored.
type refusal = fill.Refusal

const (
	refusedInvalidated = fill.Invalidated
	refusedEpoch       = fill.OtherEpoch
	refusedSnapshot    = fill.Snapshot
	refusedUncertain   = fill.Uncertain
	refusedPosition    = fill.NoPosition

	refusedCost refusal = "cost" // it costs more than MaxCost
	refusedTag  refusal = "tag"  // no event can name one of its tags
)

var refusals = [...]refusal{
	refusedInvalidated, refusedEpoch, refusedSnapshot, refusedUncertain, refusedPosition, refusedCost, refusedTag,
}

// Where an invalidation came from and what it names, for the metrics.
const (
	fromRemote = iota
	fromLocal
	froms
)

const (
	scopeKey = iota
	scopeTag
	scopeAll
	scopes
)

// What Peek found.
const (
	peekedValue = iota
	peekedAbsent
	peekedNothing
)

// reasons are those of resets.
var reasons = [...]bus.Reason{
	bus.ReasonStart, bus.ReasonEpoch, bus.ReasonPruned, bus.ReasonRewound, bus.ReasonCatchUp, bus.ReasonOverflow,
	bus.ReasonPanic, bus.ReasonClosed,
}

// counters are those of the long ways; a hit counts in its shard.
type counters struct {
	loads, notFound, loadErrors, timeouts, panics, canceled                                     atomic.Int64
	loadsRestarted, cleared, callbackPanics, foreignKeys, hiddenTx, refreshes, evictionsDropped atomic.Int64

	peeks         [3]atomic.Int64 // by what was held
	fills         [len(refusals)]atomic.Int64
	invalidations [froms][scopes][2]atomic.Int64
	resets        [len(reasons)]atomic.Int64

	tierHits, tierMisses, tierRefused, tierErrors, tierSkipped atomic.Int64
	tierSets, tierDeletes, tierDropped, codecErrors            atomic.Int64
}

func (c *counters) refused(why refusal) {
	for i, r := range refusals {
		if r == why {
			c.fills[i].Add(1)
		}
	}
}

func (c *counters) invalidated(from, scope int, hit bool) {
	effect := 0
	if hit {
		effect = 1
	}
	c.invalidations[from][scope][effect].Add(1)
}

func (c *counters) reset(why bus.Reason) {
	for i, r := range reasons {
		if r == why {
			c.resets[i].Add(1)
		}
	}
}

// countLoad counts one call of the loader.
func (c *Cache[K, V]) countLoad(ctx context.Context, err error, took time.Duration) {
	c.metrics.duration.Observe(took.Seconds())

	s := &c.stats
	if err != nil && ctx.Err() != nil && !isAbsent(err) {
		err = context.Cause(ctx)
	}

	var panicked *PanicError
	switch {
	case err == nil:
		s.loads.Add(1)
	case isAbsent(err):
		s.notFound.Add(1)
	case errors.Is(err, errAbandoned), errors.Is(err, ErrClosed):
		s.canceled.Add(1)
	case errors.Is(err, ErrLoadTimeout):
		s.timeouts.Add(1)
	case errors.As(err, &panicked):
		s.panics.Add(1)
	default:
		s.loadErrors.Add(1)
	}
}

// Stats returns the current counts. It takes each shard's lock for a moment.
func (c *Cache[K, V]) Stats() Stats {
	n := c.totals()
	s := &c.stats
	out := Stats{
		Topic: c.topic, Entries: n.held.values, Absent: n.held.absent, Cost: c.cost.Load(), Loading: n.loading,
		Hits: n.hits, NegativeHits: n.negativeHits, Misses: n.misses, Joined: n.joined, Bypassed: n.bypassed, Stale: n.staleHits,
		Loads: s.loads.Load(), LoadsNotFound: s.notFound.Load(), LoadTimeouts: s.timeouts.Load(), LoadPanics: s.panics.Load(),
		LoadErrors: s.loadErrors.Load() + s.timeouts.Load() + s.panics.Load(), LoadsCanceled: s.canceled.Load(),
		LoadsRestarted: s.loadsRestarted.Load(),
		RefusedFills:   make(map[string]int64), Resets: make(map[bus.Reason]int64), Cleared: s.cleared.Load(),
		EvictedCapacity: n.evictedCapacity, EvictedExpired: n.evictedExpired, EvictedInvalidated: n.evictedInvalidated,
		Remembered: c.history.Len(),
		TierHits:   s.tierHits.Load(), TierMisses: s.tierMisses.Load(), TierRefused: s.tierRefused.Load(),
		TierErrors: s.tierErrors.Load(), TierSkipped: s.tierSkipped.Load(), TierSets: s.tierSets.Load(),
		TierDeletes: s.tierDeletes.Load(), TierDeletesDropped: s.tierDropped.Load(), CodecErrors: s.codecErrors.Load(),
		Refreshes: s.refreshes.Load(), PeeksHeld: s.peeks[peekedValue].Load(), PeeksAbsent: s.peeks[peekedAbsent].Load(),
		PeeksUnknown: s.peeks[peekedNothing].Load(), ForeignKeys: s.foreignKeys.Load(),
		CallbackPanics: s.callbackPanics.Load(), HiddenTransactions: s.hiddenTx.Load(), EvictionsDropped: s.evictionsDropped.Load(),
		Audit: c.audit.snapshot(),
	}

	for i, why := range refusals {
		out.RefusedFills[string(why)] = s.fills[i].Load()
	}
	for i, why := range reasons {
		out.Resets[why] = s.resets[i].Load()
	}
	for from := range froms {
		for scope := range scopes {
			out.Invalidations += s.invalidations[from][scope][0].Load() + s.invalidations[from][scope][1].Load()
		}
	}
	return out
}

// totals are sums over the shards.
type totals struct {
	counts
	held    held
	loading int

	hits, negativeHits, staleHits int64
}

func (c *Cache[K, V]) totals() (t totals) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		epoch := c.epoch.Load()
		n, h := s.counts, s.current.of(epoch)
		t.loading += s.loads.Len()
		s.mu.Unlock()

		t.held.values += h.values
		t.held.absent += h.absent
		t.misses += n.misses
		t.joined += n.joined
		t.bypassed += n.bypassed
		t.evictedCapacity += n.evictedCapacity
		t.evictedExpired += n.evictedExpired
		t.evictedInvalidated += n.evictedInvalidated
	}
	t.hits, t.negativeHits, t.staleHits = c.hits.sum()
	return t
}
