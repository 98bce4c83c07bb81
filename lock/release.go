package lock

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// releases sends what is released at the same time together: while one statement is under way, what comes meanwhile
// gathers and goes with the next, as commits gather while the log is being flushed. That spares the server most of the
// work where many leases come and go. Who is alone waits for nobody.
type releases struct {
	c *core

	mu      sync.Mutex
	sending int
	waiting []*release
}

// release is a lease that is to be released together with others, if nobody waits for it.
type release struct {
	key   string
	token int64
	done  chan struct{} // closed when the rest is set
	ended bool
	err   error
}

const (
	releaseBatch = 100                   // leases in a statement
	releaseStuck = 20 * time.Millisecond // after that others do not wait for a statement any more
)

// free releases a lease if nobody waits for it, and answers whether it did.
func (r *releases) free(ctx context.Context, key string, token int64) (ended bool, err error) {
	r.mu.Lock()
	if r.sending == 0 {
		r.sending++
		r.mu.Unlock()
		defer r.leave()
		return r.sendOne(ctx, key, token)
	}
	one := &release{key: key, token: token, done: make(chan struct{})}
	r.waiting = append(r.waiting, one)
	r.mu.Unlock()
	stuck := time.NewTimer(releaseStuck)
	defer stuck.Stop()
	for {
		select {
		case <-one.done:
			return one.ended, one.err
		case <-ctx.Done(): // it is released all the same
			return false, context.Cause(ctx)
		case <-stuck.C:
			r.overtake()
		}
	}
}

// leave ends the part of somebody who was sending; if others have gathered meanwhile, somebody sends for them.
func (r *releases) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 {
		go r.sendWaiting() // it ends when nothing waits
		return
	}
	r.sending--
}

// overtake sends what waits, whoever else is sending.
func (r *releases) overtake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 {
		r.sending++
		go r.sendWaiting()
	}
}

// sendWaiting sends all that waits, on behalf of callers that may have given up waiting for it.
func (r *releases) sendWaiting() {
	for {
		r.mu.Lock()
		n := min(len(r.waiting), releaseBatch)
		batch := r.waiting[:n:n]
		r.waiting = r.waiting[n:]
		if n == 0 {
			r.sending--
		}
		r.mu.Unlock()
		if n == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		r.send(ctx, batch)
		cancel()
	}
}

func (r *releases) send(ctx context.Context, batch []*release) {
	defer func() {
		for _, one := range batch {
			close(one.done)
		}
	}()
	if len(batch) == 1 {
		batch[0].ended, batch[0].err = r.sendOne(ctx, batch[0].key, batch[0].token)
		return
	}
	ended, err := r.sendMany(ctx, batch)
	for conflicting(err) && backoff.Wait(ctx, conflictWait()) {
		ended, err = r.sendMany(ctx, batch)
	}
	for _, one := range batch {
		_, one.ended = ended[one.token]
		one.err = err
	}
}

func (r *releases) sendOne(ctx context.Context, key string, token int64) (ended bool, err error) {
	err = r.c.row(ctx, r.c.sql.releaseFree, []any{key, token}, nil)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// sendMany answers whose leases were released, by token.
func (r *releases) sendMany(ctx context.Context, batch []*release) (ended map[int64]struct{}, err error) {
	keys, tokens := make([]string, len(batch)), make([]int64, len(batch))
	for i, one := range batch {
		keys[i], tokens[i] = one.key, one.token
	}
	rows, err := r.c.pool.Query(ctx, r.c.sql.releaseMany, keys, tokens)
	if err != nil {
		return nil, err
	}
	ended = make(map[int64]struct{}, len(batch))
	var token int64
	_, err = pgx.ForEachRow(rows, []any{&token, nil}, func() error {
		ended[token] = struct{}{}
		return nil
	})
	return ended, err
}
