package lock

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// releases sends what is released at the same time together.
type releases struct {
	c *core
	gather[*release]
}

// release is a lease that is to be released together with others, if it has no waiters.
type release struct {
	key   string
	token int64
	done  chan struct{} // closed when the rest is set
	ended bool
	err   error
}

// releaseBatch is how many leases are released in a statement.
const releaseBatch = 100

func newReleases(c *core) *releases {
	r := &releases{c: c}
	r.senders, r.batch, r.send = 1, releaseBatch, r.sendBatch
	return r
}

// free releases a lease if it has no waiters, and reports whether it did.
func (r *releases) free(ctx context.Context, key string, token int64) (ended bool, err error) {
	one := &release{key: key, token: token, done: make(chan struct{})}
	if r.enter(one) {
		defer r.leave()
		return r.sendOne(ctx, key, token)
	}
	timer := time.NewTimer(stuck)
	defer timer.Stop()

	for {
		select {
		case <-one.done:
			return one.ended, one.err
		case <-ctx.Done(): // it is released all the same
			return false, context.Cause(ctx)
		case <-timer.C:
			r.overtake()
		}
	}
}

func (r *releases) sendBatch(batch []*release) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
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

// sendMany returns the tokens of the leases that were released.
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
