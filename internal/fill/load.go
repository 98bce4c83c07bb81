package fill

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Place is the bus's position as a load finds it.
type Place struct {
	Epoch string
	At    position.Snapshot
	Mark  history.Mark
	OK    bool
}

// Phase is how far a load is.
type Phase uint8

// The phases.
const (
	// Waiting: for its turn, the tier or a permit. Nothing was read from the database.
	Waiting Phase = iota
	Reading
	Ended
)

// Load is what is known of the load of one key. The cache changes it under the key's shard's lock. Once the load reads,
// only Phase and Detached change.
type Load struct {
	// Epoch, Place and Began are from before the load reads, and in this order: a reset in between makes the epoch an
	// old one.
	Epoch uint32
	Place Place
	Began *Start

	Fresh   bool // not from the tier, and not from a standby
	Primary bool // not from a standby
	Trusted bool // a reader who waits for it could trust the cache

	Phase    Phase
	Detached bool // it may have read the old value: not stored, and not for new readers
}

// StartReading notes that the load reads from the database from now on. What came before does not count against it any
// more; latest reports whether it is its key's newest load, so that it is not detached any more either.
func (f *Load) StartReading(epoch uint32, at Place, tags *TagBook, latest bool) {
	f.Phase, f.Epoch, f.Place = Reading, epoch, at
	tags.End(f.Began)
	f.Began = tags.Begin()
	if latest {
		f.Detached = false
	}
}

// Join notes that a reader waits for the load, which has not begun to read.
func (f *Load) Join(fresh bool, t Trust) {
	f.Fresh = f.Fresh || fresh
	f.Primary = f.Primary || fresh || t != TrustFresh
	f.Trusted = f.Trusted || t == TrustFresh
}

// Trust is what a reader may be served from the cache.
type Trust uint8

const (
	// TrustNothing: the bus is not fresh.
	TrustNothing Trust = iota
	// TrustServe: the bus is not fresh, but within the window of ServeFor.
	TrustServe
	// TrustFresh: the bus is fresh.
	TrustFresh
)

// TrustAt returns what may be served if the newest proof of being in sync is that old; a negative age is none.
func TrustAt(age, staleAfter, serveFor time.Duration) Trust {
	switch {
	case age < 0:
		return TrustNothing
	case age < staleAfter:
		return TrustFresh
	case age < staleAfter+serveFor:
		return TrustServe
	}
	return TrustNothing
}

// Servable reports whether an entry that was stored in an epoch, expires at a time and has these tags may be served in
// the present epoch, now, to a reader who may trust the cache.
func Servable(stored, epoch uint32, expires, now int64, marks []*TagMark) bool {
	return stored == epoch && expires > now && Alive(marks)
}
