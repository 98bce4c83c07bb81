package lock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// MaxHolders is the maximum number of holders of a semaphore.
const MaxHolders = 1000

// share is how a lease is held beside others.
type share struct {
	limit  int         // holders at most; 0: a shared lease, as many as there are
	differ atomic.Bool // it was logged that the database has another limit
}

// AcquireShared acquires a shared lease of a key, like a read lock of a sync.RWMutex: any number of processes can
// hold it together, and Acquire excludes them. It waits in the same queue as Acquire, first come first served: a
// reader does not overtake a waiting writer, and adjacent waiting readers are granted the lease together. Each shared
// lease has a token of its own; the rest is as for [Locker.Acquire]. Guard keeps a writer from being granted the
// lease before the transaction has ended. It does not exclude other readers.
func (l *Locker) AcquireShared(ctx context.Context, key string) (*Lease, error) {
	return l.acquire(ctx, key, &share{})
}

// TryAcquireShared acquires a shared lease if there is no exclusive owner and no waiter before it; otherwise it
// returns a *[HeldError]. See [Locker.AcquireShared] and [Locker.TryAcquire].
func (l *Locker) TryAcquireShared(ctx context.Context, key string) (*Lease, error) {
	return l.tryAcquire(ctx, key, &share{})
}

// DoShared is [Locker.Do] with a shared lease.
func (l *Locker) DoShared(ctx context.Context, key string, fn func(ctx context.Context, lease *Lease) error) error {
	lease, err := l.AcquireShared(ctx, key)
	if err != nil {
		return err
	}
	return lease.run(ctx, fn)
}

// Semaphore is a lease that a limited number of holders can have at once, over all processes. All methods are safe
// for concurrent use.
type Semaphore struct {
	locker *Locker
	key    string
	share  *share
}

// Semaphore returns a semaphore with a key and n holders at most, from 1 to MaxHolders. It starts nothing and does no
// I/O. The error is ErrKey or ErrConfig.
//
// Keys are those of Acquire: a process that acquires the key with Acquire waits for all holders and then excludes
// them, and readers (AcquireShared) and holders of a semaphore exclude each other.
//
// While the semaphore has holders, its limit is the n of its first holder, and a process with another n logs that
// once. When it has no holders, the next n applies. Resize changes it at once.
func (l *Locker) Semaphore(key string, n int) (*Semaphore, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if n < 1 || n > MaxHolders {
		return nil, fmt.Errorf("%w: semaphore %.80q: %d holders, want 1 to %d", ErrConfig, key, n, MaxHolders)
	}
	return &Semaphore{locker: l, key: key, share: &share{limit: n}}, nil
}

// Acquire acquires a place, and waits for it until ctx ends, first come first served. Each holder has a lease with a
// token of its own; see [Locker.Acquire]. Guard ties a transaction to the place: it is granted to no other process
// before the transaction has ended. A system that refuses smaller tokens would refuse all holders but the newest; it
// must compare tokens separately for each thing that one holder works on.
func (s *Semaphore) Acquire(ctx context.Context) (*Lease, error) {
	return s.locker.acquire(ctx, s.key, s.share)
}

// TryAcquire acquires a place if one is free and there are no waiters; otherwise it returns a *[HeldError].
func (s *Semaphore) TryAcquire(ctx context.Context) (*Lease, error) {
	return s.locker.tryAcquire(ctx, s.key, s.share)
}

// Do is [Locker.Do] with a place of the semaphore.
func (s *Semaphore) Do(ctx context.Context, fn func(ctx context.Context, lease *Lease) error) error {
	lease, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	return lease.run(ctx, fn)
}

// Resize makes the limit of this Semaphore apply at once, while processes hold it with another limit. If the new
// limit is smaller, all holders keep their leases, and no waiter is granted a place until enough of them have ended.
// Without holders it is a no-op.
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

// Holders lists the holders of a key, ordered by token: its owner, all readers, or all holders of a semaphore. It
// returns at most limit of them (0 means 1000), with tokens larger than after; pass the last token of one list to get
// the next.
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
