package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/lock"
)

// lockConfig is what a pod that takes leases is told besides.
type lockConfig struct {
	TTL       time.Duration
	Takeover  time.Duration   // Config.TakeoverAfter
	Unguarded unguarded       // these do without Guard
	Guards    hook.LockGuards // off
	Idle      time.Duration   // how long a transaction may be idle; 0: the pools' own
}

// holder is a pod that takes leases: a Locker on the bus.
type holder struct {
	Service
	locker *lock.Locker

	mu     sync.Mutex
	leases map[int64]heldLease // by token
}

func newHolder(p *pod) (*holder, error) {
	level := slog.LevelError + 4 // what it says of a fault is no news here
	if p.cfg.Verbose {
		level = slog.LevelDebug
	}
	l, err := lock.New(p.bus, p.pool, &lock.Config{
		Owner: p.cfg.Name, Options: lock.Options{TTL: p.cfg.Lock.TTL}, ClaimTTL: 500 * time.Millisecond, TakeoverAfter: p.cfg.Lock.Takeover,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return nil, err
	}
	l.Weaken(hook.Token{}, p.cfg.Lock.Guards)
	return &holder{Service: Service{p}, locker: l, leases: map[int64]heldLease{}}, nil
}

// run runs the bus and the Locker until the pod's context ends.
func (h *holder) run() error {
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = h.locker.Run(h.p.ctx) })
	busErr := h.p.run()
	wg.Wait()
	return errors.Join(busErr, err)
}

func (h *holder) lease(token int64) heldLease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leases[token]
}

// Wish is a wish for a lease.
type Wish struct {
	Key string
	How lockHow
	For time.Duration // how long to wait for it; 0: not at all
	SQL bool          // by the SQL functions, as clients in other languages do it
}

// Claim is what a pod knows of a lease.
type Claim struct {
	Token    int64         // 0: it got none
	ValidFor time.Duration // for how long it relies on it from now on; 0: not any more
	Alive    bool          // its context has not ended
	Holder   int64         // who has it instead, by what the database says; 0: not known
}

// Acquire takes a lease, or answers that it did not get it.
func (h *holder) Acquire(w Wish, out *Claim) error {
	ctx, cancel := context.WithTimeout(h.p.ctx, cmp.Or(w.For, writeTimeout))
	defer cancel()

	var lease heldLease
	var err error
	if w.SQL {
		lease, err = h.acquireSQL(ctx, w.Key, w.How, w.For > 0)
	} else {
		var l *lock.Lease
		l, err = h.acquireGo(ctx, w)
		lease = goLease{l}
	}

	if err != nil {
		var held *lock.HeldError
		if errors.As(err, &held) && !held.Guarded && !held.Queued {
			out.Holder = held.Token
		}
		return nil // whatever it was, nothing is held
	}

	h.mu.Lock()
	h.leases[lease.Token()] = lease
	h.mu.Unlock()
	*out = claimOf(lease)
	return nil
}

// acquireGo takes a lease by the Go package.
func (h *holder) acquireGo(ctx context.Context, w Wish) (*lock.Lease, error) {
	alone, shared := h.locker.Acquire, h.locker.AcquireShared
	if w.For == 0 {
		alone, shared = h.locker.TryAcquire, h.locker.TryAcquireShared
	}

	switch w.How {
	case lockAlone:
		return alone(ctx, w.Key)
	case lockReaders:
		return shared(ctx, w.Key)
	}

	s, err := h.locker.Semaphore(w.Key, w.How.most())
	if err != nil {
		return nil, err
	}
	if w.For == 0 {
		return s.TryAcquire(ctx)
	}

	return s.Acquire(ctx)
}

// claimOf asks first for how long the lease is valid: a pause after that makes the claim shorter, never longer.
func claimOf(l heldLease) Claim {
	c := Claim{Token: l.Token(), ValidFor: l.ValidFor(), Alive: l.Alive()}
	if l.Err() != nil {
		c.ValidFor = 0
	}
	return c
}

// Claim answers whether the pod still relies on a lease, which beyond its TTL means that it has been renewed.
func (h *holder) Claim(token int64, out *Claim) error { //nolint:unparam // net/rpc wants an error
	if l := h.lease(token); l != nil {
		*out = claimOf(l)
	}
	return nil
}

// Outcome is what became of something.
type Outcome int

// The outcomes. Unknown may have happened.
const (
	Unknown Outcome = iota
	Done
	Refused
)

// Addition adds an element to a key's set.
type Addition struct {
	Key     string
	Token   int64
	Element int64
	Think   time.Duration // between reading and writing
}

// Added is what became of an Addition, and how long after it was asked for the pod began to write.
type Added struct {
	Outcome Outcome
	After   time.Duration
}

const (
	readSet  = "SELECT elements FROM lockset WHERE key = $1"
	writeSet = "UPDATE lockset SET elements = $2 WHERE key = $1"
	noteAdd  = "INSERT INTO lockwrite (element, key, token) VALUES ($1, $2, $3)"
)

// Add reads a set, thinks, and writes it with one more element: what a lock is for. It also notes the write, in the same
// transaction.
func (h *holder) Add(a Addition, out *Added) error {
	begun := time.Now()
	out.Outcome = Refused
	lease := h.lease(a.Token)
	if lease == nil || lease.Err() != nil {
		return nil
	}

	timeout := writeTimeout
	if h.p.cfg.Lock.Takeover > 0 { // it may be stopped until others have taken over
		timeout *= 2
	}

	ctx, cancel := context.WithTimeout(h.p.ctx, timeout)
	defer cancel()

	var elements []int64
	if err := h.p.pool.QueryRow(ctx, readSet, a.Key).Scan(&elements); err != nil {
		return nil //nolint:nilerr // refused
	}

	time.Sleep(a.Think)
	out.After = time.Since(begun)
	tx, err := h.p.pool.Begin(ctx)
	if err != nil {
		return nil //nolint:nilerr // refused
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after Commit this does nothing

	if err := h.write(ctx, tx, lease, a, append(elements, a.Element)); err != nil {
		return nil //nolint:nilerr // refused
	}

	out.Outcome = Done
	if err := tx.Commit(ctx); err != nil {
		out.Outcome = Unknown
	}

	return nil
}

func (h *holder) write(ctx context.Context, tx pgx.Tx, lease heldLease, a Addition, elements []int64) error {
	if !h.p.cfg.Lock.Unguarded.alone() {
		if err := lease.Guard(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, writeSet, a.Key, elements); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, noteAdd, a.Element, a.Key, a.Token)
	return err
}

// Release gives a lease up.
func (h *holder) Release(token int64, out *Outcome) error {
	lease := h.lease(token)
	if lease == nil {
		return fmt.Errorf("no lease %d", token)
	}

	ctx, cancel := context.WithTimeout(h.p.ctx, writeTimeout)
	defer cancel()

	switch err := lease.Release(ctx); {
	case err == nil:
		*out = Done
	case errors.Is(err, lock.ErrLost):
		*out = Refused
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	delete(h.leases, token)
	return nil
}
