package lock

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

const sequenceBits = 39

// Incarnation returns the upper 24 bits of a token. Each server process, database and table that grants leases has
// its own incarnation, and so has each time after RaiseIncarnation. Its value is the number of minutes from the
// beginning of 2026 to when it began, or the previous incarnation plus one, whichever is larger. The lower part of
// the token grows within it.
func Incarnation(token int64) int { return int(token >> sequenceBits) }

// place is where leases are granted, as the incarnation's row describes it.
type place struct {
	server   time.Time // its start
	database string
	relation uint32
}

// raise begins a new incarnation because the row describes another server than this one.
func (c *core) raise(ctx context.Context) error {
	n, err := c.raiseBy(ctx, false, "another server")
	if err == nil && n > 0 {
		c.log.InfoContext(ctx, "incarnation raised: the database is another server, or was restarted", slog.Int("incarnation", n))
	}
	return err
}

// wentBack begins a new incarnation because a new token is not larger than one that was there before it was asked for: the
// database went back in time without becoming another server, as with a dump put back in place.
func (c *core) wentBack(ctx context.Context, token, seen int64) error {
	c.log.ErrorContext(ctx, "token is smaller than an earlier one, raising the incarnation", slog.Int64("token", token), slog.Int64("seen", seen))
	_, err := c.raiseBy(ctx, true, "a token went back")
	return err
}

func (c *core) raiseBy(ctx context.Context, byHand bool, reason string) (n int, err error) {
	raised := new(*int64) // may be written after the caller has gone
	err, ok := finish(ctx, 0, longestTry, func(ctx context.Context) error {
		return c.row(ctx, c.sql.raise, []any{byHand, reason}, raised)
	}, nil)
	if !ok {
		return 0, fmt.Errorf("lock: raise incarnation: %w", context.Cause(ctx))
	}

	switch {
	case err == nil && *raised == nil: // another process did it
		return 0, nil
	case pgerr.IsCheckViolation(err): // it has to fit
		return 0, fmt.Errorf("%w: %w", ErrIncarnation, err)
	case err != nil:
		return 0, fmt.Errorf("lock: raise incarnation: %w", err)
	}
	c.metrics.raised.Add(1)
	return int(**raised), nil
}

// RaiseIncarnation makes all later tokens larger than all earlier ones, whatever their sequence is, and returns the
// new incarnation. Call it after an older state of the tables was restored by hand into a running server; all other
// restores are detected. reason is stored and logged. Incarnations last until 2057.
func (l *Locker) RaiseIncarnation(ctx context.Context, reason string) (int, error) {
	if len(reason) > 200 || !isText(reason) {
		return 0, fmt.Errorf("%w: reason: want at most 200 bytes of UTF-8 without NUL", ErrConfig)
	}
	return l.c.raiseBy(ctx, true, reason)
}
