package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgxlisten"

	"github.com/pgcoherence/pgcoherence/internal/naming"
)

// listener owns the connection that listens. pgxlisten is its inner loop: connect, LISTEN, backlog, wait. What that
// leaves open is done here: backoff with jitter, a deadline over everything before the first wait, the end of the
// connection when the backlog cannot be read, and a way to end it from outside.
type listener struct {
	p      *Postgres
	dialer *dialer

	mu      sync.Mutex
	session *session // nil while there is none
}

func newListener(p *Postgres) *listener {
	return &listener{p: p, dialer: newDialer(p, "listen "+p.cfg.Name)}
}

func (p *Postgres) channel() string { return naming.Channel(p.cfg.Schema) }

func (l *listener) run(ctx context.Context) {
	inner := pgxlisten.Listener{
		Connect:        l.connect,
		LogError:       l.lost,
		ReconnectDelay: time.Nanosecond, // connect waits, with backoff
	}
	inner.Handle(l.p.channel(), l)
	_ = inner.Listen(ctx) // only the end of ctx ends it
	l.forget()
}

// connect implements pgxlisten's Connect. After a failure it waits before it returns the error: the loop calls again at
// once.
func (l *listener) connect(ctx context.Context) (*pgx.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := l.dialer.dial(ctx)
	if err != nil {
		l.dialer.failed(ctx, err)
		return nil, errHandled
	}
	// LISTEN and the backlog have no deadline of their own. HandleBacklog lifts it.
	_ = s.net.SetDeadline(time.Now().Add(l.p.patience()))
	l.mu.Lock()
	l.session = s
	l.mu.Unlock()
	return s.conn, nil
}

// errHandled is an error that was logged and waited for already.
var errHandled = errors.New("bus: handled")

// lost implements pgxlisten's LogError: the connection is gone, or about to be.
func (l *listener) lost(ctx context.Context, err error) {
	l.forget()
	if ctx.Err() != nil || errors.Is(err, errHandled) {
		return
	}
	if l.p.want.listening.Swap(false) {
		l.p.log.InfoContext(ctx, "listening connection lost", slog.Any("error", err))
		l.p.want.poke()
		return // the first attempt to come back is at once
	}
	l.dialer.failed(ctx, err)
}

func (l *listener) forget() {
	l.mu.Lock()
	l.session = nil
	l.mu.Unlock()
}

// kick ends the connection, so that the loop makes a new one. Any goroutine may call it: it touches the net.Conn only.
func (l *listener) kick() {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s != nil {
		_ = s.net.Close()
	}
}

// HandleBacklog implements pgxlisten.BacklogHandler: it runs after LISTEN, so nothing falls between. Catching up and
// listening are one connection, so both ends are the same server.
func (l *listener) HandleBacklog(ctx context.Context, _ string, conn *pgx.Conn) error {
	err := l.catchUp(ctx, conn)
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if err != nil {
		// pgxlisten would only log this and listen on, as if all were well.
		if s != nil {
			_ = s.net.Close()
		}
		return err
	}
	if s != nil {
		_ = s.net.SetDeadline(time.Time{})
	}
	l.dialer.succeeded()
	l.p.want.set(&l.p.want.listening)
	return nil
}

func (l *listener) catchUp(ctx context.Context, conn *pgx.Conn) error {
	if err := l.p.checkSchema(ctx, conn); err != nil {
		return err
	}
	d, err := l.p.readDifference(ctx, conn, l.p.applier.base(), false)
	if err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	l.p.applied(l.p.applier.difference(d))
	return nil
}

// HandleNotification implements pgxlisten.Handler.
func (l *listener) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	if l.p.registry.hint(n.Payload) {
		return nil
	}
	what := l.p.applier.notification(n.Payload)
	if what.gap {
		l.p.want.set(&l.p.want.gap)
	}
	if what.ask {
		l.p.want.set(&l.p.want.ask)
	}
	if what.quicken {
		l.p.want.poke()
	}
	return nil
}

// applied follows a difference: a reset is logged, and the proof that it took away is sought at once.
func (p *Postgres) applied(reason Reason) {
	switch reason {
	case "":
		return
	case ReasonStart:
		p.log.Debug("first position")
	default:
		p.log.Warn("all subscribers reset", slog.String("reason", string(reason)))
	}
	p.want.set(&p.want.ask)
}

// patience is how long a statement of the bus may take.
func (p *Postgres) patience() time.Duration { return 2 * p.cfg.ProbeTimeout }
