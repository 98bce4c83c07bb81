package lock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// MaxHolders is how many may hold a semaphore at most.
const MaxHolders = 1000

// share is how a lease is held beside others.
type share struct {
	limit  int         // holders at most; 0: a shared lease, as many as there are
	differ atomic.Bool // it was logged that the database has another limit
}

// AcquireShared takes a shared lease of a key, as [sync.RWMutex] has read locks: any number hold it beside one another, and
// whoever takes the key by Acquire is alone. It waits in the same queue as Acquire, first come first served: a reader who comes
// after a writer that waits does not pass by it, and readers who wait behind one another are let in together. Each share has
// a token of its own, and the rest is as with Acquire. Guard keeps a writer from being granted the lease before the
// transaction has ended; it does not exclude other readers.
func (l *Locker) AcquireShared(ctx context.Context, key string) (*Lease, error) {
	return l.acquire(ctx, key, &share{})
}

// TryAcquireShared takes a shared lease if nobody has the key alone and nobody waits before it; else the error is a *HeldError.
// See [Locker.AcquireShared] and [Locker.TryAcquire].
func (l *Locker) TryAcquireShared(ctx context.Context, key string) (*Lease, error) {
	return l.tryAcquire(ctx, key, &share{})
}

// DoShared is Do with a shared lease.
func (l *Locker) DoShared(ctx context.Context, key string, fn func(ctx context.Context, lease *Lease) error) error {
	lease, err := l.AcquireShared(ctx, key)
	if err != nil {
		return err
	}
	return lease.run(ctx, fn)
}

// Semaphore is a lease that up to a number of holders have at once, over all processes. All methods are safe for concurrent
// use.
type Semaphore struct {
	locker *Locker
	key    string
	share  *share
}

// Semaphore makes one by its key and the number of holders, 1 to MaxHolders. It starts nothing and does no I/O. The error is
// ErrKey or ErrConfig.
//
// Keys are those of Acquire: whoever takes the key by Acquire waits for all holders and is then alone, and readers by
// AcquireShared and holders of a semaphore exclude one another.
//
// While somebody holds the semaphore, the number it was begun with counts, whatever others ask for, and a process that asks
// for another one logs that once. When nobody holds it any more, the next number counts. Resize changes it at once.
func (l *Locker) Semaphore(key string, n int) (*Semaphore, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if n < 1 || n > MaxHolders {
		return nil, fmt.Errorf("%w: semaphore %.80q: %d holders, want 1 to %d", ErrConfig, key, n, MaxHolders)
	}
	return &Semaphore{locker: l, key: key, share: &share{limit: n}}, nil
}

// Acquire takes one of the places and waits for it until ctx ends, first come first served. Each holder has a lease with a
// token of its own; see [Locker.Acquire]. Guard ties a transaction to the place: nobody else is granted it before the
// transaction has ended. A system that refuses smaller tokens than it has seen refuses all holders but the newest; let it
// compare tokens for whatever one holder works on.
func (s *Semaphore) Acquire(ctx context.Context) (*Lease, error) {
	return s.locker.acquire(ctx, s.key, s.share)
}

// TryAcquire takes one of the places if one is free and nobody waits for it; else the error is a *HeldError.
func (s *Semaphore) TryAcquire(ctx context.Context) (*Lease, error) {
	return s.locker.tryAcquire(ctx, s.key, s.share)
}

// Do is [Locker.Do] with one of the places.
func (s *Semaphore) Do(ctx context.Context, fn func(ctx context.Context, lease *Lease) error) error {
	lease, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	return lease.run(ctx, fn)
}

// Resize makes the number of this Semaphore count at once, while others hold it by another. Those beyond a smaller number
// keep their leases; nobody else is let in until enough of them are over. If nobody holds it, there is nothing to change.
func (s *Semaphore) Resize(ctx context.Context) error {
	c := s.locker.c
	next := new(*string) // may be written after the caller has gone
	err, ok := finish(ctx, 0, longestTry, func(ctx context.Context) error {
		return c.handOver(ctx, c.sql.resize, []any{s.key, s.share.limit, waiterAlive.Milliseconds(), c.cfg.ClaimTTL.Milliseconds()}, next)
	}, nil)
	switch {
	case !ok:
		return wrap("resize", s.key, context.Cause(ctx))
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return wrap("resize", s.key, err)
	}
	return nil
}

// compare logs once that the database has another limit than this process asks for.
func (s *share) compare(ctx context.Context, log *slog.Logger, stored *int) {
	if s == nil || s.limit == 0 || stored == nil || *stored == 0 || *stored == s.limit || s.differ.Swap(true) {
		return
	}
	log.WarnContext(ctx, "semaphore is held with another number of holders, which counts until it is free or resized",
		slog.Int("stored", *stored), slog.Int("asked", s.limit))
}

// wants is the limit as waiters have it: nil for one who wants to be alone.
func (s *share) wants() *int {
	if s == nil {
		return nil
	}
	return &s.limit
}

// Holders lists who holds a key, the newest last: one, or all readers, or all holders of a semaphore. At most limit of them, 0
// meaning 1000, and only those with a token larger than after; so the last token of one list leads to the next.
func (l *Locker) Holders(ctx context.Context, key string, after int64, limit int) ([]Info, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = 1000
	}
	infos, err := l.c.infos(ctx, l.c.sql.holders, key, limit, after)
	if err != nil {
		return nil, wrap("holders", key, err)
	}
	return infos, nil
}
