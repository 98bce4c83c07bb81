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
)

// listener owns the connection that listens. pgxlisten is its inner loop: connect, LISTEN, backlog, wait. What that
// leaves open is done here: backoff with jitter, a deadline over everything before the first wait, the end of the
// connection when the backlog cannot be read, and a way to end it from outside.
type listener struct {
	*env
	applier  *applier
	registry *registry
	dialer   *dialer

	up     time.Time // when it had last caught up
	number uint64    // of the connection that has
	proven bool      // a beat was proven since

	mu      sync.Mutex
	session *session // nil while there is none
	ended   bool     // its end was asked for, so that another one is made
}

func (l *listener) run(ctx context.Context) {
	inner := pgxlisten.Listener{
		Connect:        l.connect,
		LogError:       l.lost,
		ReconnectDelay: time.Nanosecond, // connect waits, with backoff
	}
	inner.Handle(l.channel(), l)

	// Whatever watches the context of a connection that Config.Connect made, Run ends at once.
	stop := context.AfterFunc(ctx, l.kick)
	defer stop()
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
	_ = s.net.SetDeadline(time.Now().Add(l.statementTimeout()))
	l.mu.Lock()
	l.session = s
	l.mu.Unlock()
	return s.conn, nil
}

// errHandled is an error that was logged and waited for already.
var errHandled = errors.New("bus: handled")

// lost implements pgxlisten's LogError: the connection is gone, or about to be. Where pgxlisten would go on with it, as after
// a backlog that could not be read or a notification on a channel that is not ours, it ends here: from now on this pod takes
// it for lost.
func (l *listener) lost(ctx context.Context, err error) {
	ended := l.forget()

	if ctx.Err() != nil || errors.Is(err, errHandled) {
		return
	}

	if l.requests.listening.Swap(0) != 0 {
		l.log.InfoContext(ctx, "listening connection lost", slog.Any("error", err))
		l.requests.signal()
		// The first attempt to come back is at once if the connection was of use, and if it was ended because nothing was
		// heard through it: that is done rarely enough.
		if l.checkProof(); l.proven || ended {
			return
		}
	}

	l.dialer.failed(ctx, err)
}

// forget drops the session and ends its connection. It reports whether kick has done that before.
func (l *listener) forget() (ended bool) {
	l.mu.Lock()
	s := l.session
	ended = l.ended
	l.session, l.ended = nil, false
	l.mu.Unlock()
	if s != nil {
		_ = s.net.Close()
	}
	return ended
}

// kick ends the connection, so that the loop makes a new one. Any goroutine may call it: it touches the net.Conn only.
func (l *listener) kick() {
	l.mu.Lock()
	s := l.session
	l.ended = s != nil
	l.mu.Unlock()
	if s != nil {
		_ = s.net.Close()
	}
}

// HandleBacklog implements pgxlisten.BacklogHandler: it runs after LISTEN, so nothing falls between. Catching up and
// listening are one connection, so both ends are the same server.
func (l *listener) HandleBacklog(ctx context.Context, _ string, conn *pgx.Conn) error {
	if err := l.catchUp(ctx, conn); err != nil {
		return err // which lost makes the end of the connection
	}

	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s != nil {
		_ = s.net.SetDeadline(time.Time{})
	}
	l.up, l.proven = time.Now(), false
	l.number++
	l.requests.listening.Store(l.number)
	l.requests.signal()
	return nil
}

func (l *listener) catchUp(ctx context.Context, conn *pgx.Conn) error {
	if err := l.checkSchema(ctx, conn); err != nil {
		return err
	}
	d, err := logReader{l.env}.read(ctx, conn, l.applier.base(), false)
	if err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	catchUp{l.applier}.apply(d)
	return nil
}

// checkProof lets the backoff start over once the connection has served to prove that this pod is in sync: that it was made
// shows little.
func (l *listener) checkProof() {
	if !l.proven && !l.up.IsZero() && l.applier.fresh.provenSince(l.up) {
		l.proven = true
		l.dialer.succeeded()
	}
}

// HandleNotification implements pgxlisten.Handler.
func (l *listener) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	if l.registry.hint(n.Payload) {
		return nil
	}

	todo := receiver{l.applier}.receive(n.Payload)
	l.checkProof()

	if todo.read {
		l.requests.set(&l.requests.read)
	}
	if todo.beat {
		l.requests.set(&l.requests.beat)
	}
	if todo.wakeSweeper {
		l.requests.signal()
	}

	return nil
}
