package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/lock"
)

// heldLease is what a pod does with a lease, whichever way it got it.
type heldLease interface {
	Token() int64
	ValidFor() time.Duration
	Err() error
	Alive() bool
	Guard(ctx context.Context, tx pgx.Tx) error
	Release(ctx context.Context) error
}

// goLease is one that the Go package got.
type goLease struct{ *lock.Lease }

// Alive reports whether the lease's context has not ended.
func (l goLease) Alive() bool { return l.Context().Err() == nil }

// sqlLease is one that was got by the SQL functions alone, as a client in another language does it.
type sqlLease struct {
	h          *holder
	key        string
	token      int64
	ttl        time.Duration
	stopRenew  context.CancelFunc
	renewEnded chan struct{}

	mu   sync.Mutex
	sent time.Time // of the newest request that was granted
	over bool
}

var errSQLLost = errors.New("lease is lost")

// acquireSQL takes a lease, or waits for it until ctx ends.
func (h *holder) acquireSQL(ctx context.Context, key string, how lockHow, wait bool) (*sqlLease, error) {
	ttl := h.p.cfg.Lock.TTL
	function := "lease_acquire($1, $2, $3::bigint * interval '1 ms', $4::text::uuid)"
	switch how {
	case lockAlone:
	case lockReaders:
		function = "lease_acquire_shared($1, $2, $3::bigint * interval '1 ms', $4::text::uuid)"
	default:
		function = fmt.Sprintf("semaphore_acquire($1, %d, $2, $3::bigint * interval '1 ms', $4::text::uuid)", how.most())
	}

	var waiter *string
	if wait {
		waiter = new(uuid.NewString())
	}

	for {
		var token *int64
		var retryMS int64
		sent := time.Now()

		// The statement goes on when ctx ends: a client that has asked has to hear the answer.
		err := h.p.pool.QueryRow(h.p.ctx, `SELECT token, coalesce(extract(epoch FROM retry_in) * 1000, 0)::bigint
			FROM pgcoherence.`+function, key, h.p.cfg.Name+" (SQL)", ttl.Milliseconds(), waiter).
			Scan(&token, &retryMS)
		switch {
		case err == nil && token != nil:
			return h.keepSQL(key, *token, ttl, sent), nil
		case err != nil && (!wait || h.p.ctx.Err() != nil):
			return nil, err
		case !wait:
			return nil, lock.ErrHeld
		}

		if ctx.Err() != nil {
			_, err := h.p.pool.Exec(h.p.ctx, "SELECT pgcoherence.lease_leave($1, $2::text::uuid)", key, waiter)
			return nil, errors.Join(ctx.Err(), err)
		}

		_ = pause(ctx, min(time.Duration(retryMS)*time.Millisecond, 50*time.Millisecond))
	}
}

// keepSQL renews the lease until it is given up.
func (h *holder) keepSQL(key string, token int64, ttl time.Duration, sent time.Time) *sqlLease {
	l := &sqlLease{h: h, key: key, token: token, ttl: ttl, sent: sent, renewEnded: make(chan struct{})}
	ctx, cancel := context.WithCancel(h.p.ctx)
	l.stopRenew = cancel
	go func() {
		defer close(l.renewEnded)
		for pause(ctx, ttl/4) == nil {
			l.renew(ctx)
		}
	}()
	return l
}

func (l *sqlLease) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/4)
	defer cancel()

	sent := time.Now()
	var held bool
	err := l.h.p.pool.QueryRow(ctx, "SELECT pgcoherence.lease_renew($1, $2, $3::bigint * interval '1 ms')", l.key, l.token, l.ttl.Milliseconds()).Scan(&held)
	l.mu.Lock()
	defer l.mu.Unlock()

	switch {
	case err != nil:
	case !held:
		l.over = true
	default:
		l.sent = sent
	}
}

func (l *sqlLease) Token() int64 { return l.token }

// ValidFor is by both clocks, as the Go package has it.
func (l *sqlLease) ValidFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	passed := max(now.Sub(l.sent), now.Round(0).Sub(l.sent.Round(0)))
	if l.over || passed >= l.ttl*9/10 {
		l.over = true
		return 0
	}
	return l.ttl*9/10 - passed
}

func (l *sqlLease) Err() error {
	if l.ValidFor() == 0 {
		return errSQLLost
	}
	return nil
}

func (l *sqlLease) Alive() bool { return l.ValidFor() > 0 }

func (l *sqlLease) Guard(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pgcoherence.lease_guard($1, $2)", l.key, l.token)
	return err
}

func (l *sqlLease) Release(ctx context.Context) error {
	l.stopRenew()
	<-l.renewEnded
	l.mu.Lock()
	lost := l.over
	l.over = true
	l.mu.Unlock()
	var held bool
	err := l.h.p.pool.QueryRow(ctx, "SELECT pgcoherence.lease_release($1, $2)", l.key, l.token).Scan(&held)
	if err == nil && (!held || lost) {
		err = fmt.Errorf("%w: by SQL", lock.ErrLost)
	}
	return err
}
