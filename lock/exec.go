package lock

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// row runs a statement of one row on the pool. Where transactions begin at REPEATABLE READ or SERIALIZABLE by default, it
// can fail because another was faster; then it is run again, until ctx ends.
func (c *core) row(ctx context.Context, sql string, args []any, dest ...any) error {
	for {
		err := c.pool.QueryRow(ctx, sql, args...).Scan(dest...)
		if !conflicting(err) || !backoff.Wait(ctx, conflictWait()) {
			return err
		}
	}
}

// conflicting reports whether a statement failed for others that ran at the same time, and did nothing.
func conflicting(err error) bool {
	return pgerr.IsConflict(err)
}

func conflictWait() time.Duration { return time.Millisecond + rand.N(5*time.Millisecond) }
