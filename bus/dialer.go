package bus

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// dialer makes connections one after the other, with backoff, growing patience, and a log line that does not repeat
// itself more than once a minute.
type dialer struct {
	*env
	connections *ownconn.Dialer
	purpose     string

	backoff backoff.Backoff
	timeout time.Duration
	said    time.Time
	saidErr string
	made    bool
}

const (
	firstRetry = 20 * time.Millisecond
	quietFor   = time.Minute
)

func newDialer(p *Postgres, purpose string) *dialer {
	return &dialer{
		env: p.env, connections: p.connections, purpose: purpose, timeout: p.cfg.ConnectTimeout,
		backoff: backoff.Backoff{Base: firstRetry, Max: max(p.cfg.MaxBackoff, firstRetry)},
	}
}

// again returns a dialer for connections after one that another dialer has made.
func (d *dialer) again() *dialer {
	d.made = true
	return d
}

func (d *dialer) dial(ctx context.Context) (*session, error) {
	conn, err := d.connections.Dial(ctx, d.name(d.purpose), d.timeout)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			d.timeout = min(2*d.timeout, 5*d.cfg.ConnectTimeout)
		}
		return nil, err
	}

	d.stats.statements.Add(2)
	if d.made {
		d.stats.reconnects.Add(1)
	}
	d.made = true
	return &session{own: conn, conn: conn.Conn, net: conn.Net}, nil
}

// succeeded begins a new series: the connection was not only made but of use.
func (d *dialer) succeeded() {
	d.backoff.Reset()
	d.timeout = d.cfg.ConnectTimeout
	if d.saidErr != "" {
		d.log.Info("database connection is back", slog.String("connection", d.purpose))
	}
	d.said, d.saidErr = time.Time{}, ""
	d.stats.setError(nil)
}

// failed notes that there is no connection, and waits before the next attempt, unless ctx has ended.
func (d *dialer) failed(ctx context.Context, err error) {
	d.report(ctx, "database connection failed, trying again", err)
	backoff.Wait(ctx, d.backoff.Next())
}

// refused notes that the connection is fine but the server refuses a statement, and waits before the next one.
func (d *dialer) refused(ctx context.Context, err error) {
	d.report(ctx, "database refuses a statement of the bus, trying again", err)
	backoff.Wait(ctx, d.backoff.Next())
}

// report logs an error if it is news. What trying again cannot mend is an error for a person, with its remedy.
func (d *dialer) report(ctx context.Context, message string, err error) {
	if !d.worthSaying(ctx, err) {
		return
	}
	attrs := []slog.Attr{slog.String("connection", d.purpose), slog.Any("error", err)}
	level := slog.LevelWarn
	if isPermanent(err) {
		level = slog.LevelError
		attrs = append(attrs, slog.String("remedy", remedy(err)))
	}
	d.log.LogAttrs(ctx, level, message, attrs...) //nolint:sloglint // each caller passes a constant
}

// worthSaying notes an error, and reports whether it is news.
func (d *dialer) worthSaying(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	d.stats.setError(err)
	text := err.Error()
	if text == d.saidErr && time.Since(d.said) <= quietFor || time.Since(d.said) <= time.Second {
		return false
	}
	d.said, d.saidErr = time.Now(), text
	return true
}

// jittered is d and up to half of it more.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/2+1) }
