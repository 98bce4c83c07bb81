package bus

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// dialer makes connections one after the other, with backoff, growing patience, and a log line that does not repeat
// itself more than once a minute.
type dialer struct {
	p       *Postgres
	purpose string
	backoff backoff.Backoff
	timeout time.Duration
	said    time.Time
	saidErr string
	made    bool
}

const (
	firstRetry   = 20 * time.Millisecond
	slowestRetry = 750 * time.Millisecond
	quietFor     = time.Minute
)

func newDialer(p *Postgres, purpose string) *dialer {
	return &dialer{p: p, purpose: purpose, timeout: p.cfg.ConnectTimeout, backoff: backoff.Backoff{Base: firstRetry, Max: slowestRetry}}
}

func (d *dialer) dial(ctx context.Context) (*session, error) {
	s, err := d.p.dial(ctx, d.purpose, d.timeout)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			d.timeout = min(2*d.timeout, 5*d.p.cfg.ConnectTimeout)
		}
		return nil, err
	}
	if d.made {
		d.p.stats.reconnects.Add(1)
	}
	d.made = true
	return s, nil
}

// succeeded begins a new series: the connection was not only made but of use.
func (d *dialer) succeeded() {
	d.backoff.Reset()
	d.timeout = d.p.cfg.ConnectTimeout
	if d.saidErr != "" {
		d.p.log.Info("database connection is back", slog.String("connection", d.purpose))
	}
	d.said, d.saidErr = time.Time{}, ""
	d.p.stats.setError(nil)
}

// failed notes that there is no connection, and waits before the next attempt, unless ctx has ended.
func (d *dialer) failed(ctx context.Context, err error) {
	if d.worthSaying(ctx, err) {
		d.p.log.WarnContext(ctx, "database connection failed, trying again", slog.String("connection", d.purpose), slog.Any("error", err))
	}
	backoff.Wait(ctx, d.backoff.Next())
}

// refused notes that the connection is fine but the server refuses a statement, and waits before the next one.
func (d *dialer) refused(ctx context.Context, err error) {
	if d.worthSaying(ctx, err) {
		d.p.log.WarnContext(ctx, "database refuses a statement of the bus, trying again", slog.String("connection", d.purpose), slog.Any("error", err))
	}
	backoff.Wait(ctx, d.backoff.Next())
}

// worthSaying notes an error, and answers whether it is news.
func (d *dialer) worthSaying(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	d.p.stats.setError(err)
	text := err.Error()
	if text == d.saidErr && time.Since(d.said) <= quietFor || time.Since(d.said) <= time.Second {
		return false
	}
	d.said, d.saidErr = time.Now(), text
	return true
}

// jittered is d and up to half of it more.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/2+1) }
