package lock

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// Lease is an exclusive or shared, time-limited hold on a key. Run renews it until it is released or lost. All
// methods are safe for concurrent use.
type Lease struct {
	locker   *Locker
	key, id  string
	share    *share // nil: alone
	token    int64
	database string
	granted  time.Time // when the request was sent
	waited   bool      // in the queue: there may be more who do

	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	sent     time.Time  // of the newest request that was granted
	sessions []*session // that the lease may end with: one or none, and those of renewals without an answer
	unsure   bool       // a renewal has no result yet
	timer    *time.Timer
	lost     *LostError
	released bool // Release was called
	done     bool // and has succeeded

	releasing chan struct{} // holds the one call of Release that sends
}

func newLease(a *attempt, token int64, database string, sent time.Time, one *session) *Lease {
	l := &Lease{
		locker: a.Locker, key: a.key, id: a.id, share: a.share, token: token, database: database,
		granted: sent, sent: sent, waited: a.queued && !a.unknown, releasing: make(chan struct{}, 1),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(a.values))
	l.mu.Lock() // the timer may fire at once
	defer l.mu.Unlock()
	if one != nil {
		l.sessions = append(l.sessions, one)
	}
	l.timer = time.AfterFunc(trust(a.options.TTL)-time.Since(sent), l.checkDeadline)
	return l
}

// Key returns the key of the lease.
func (l *Lease) Key() string { return l.key }

// Token returns the fencing token. It is larger than the token of every lease that was granted before, for any key.
// Resources outside of this database that the lease protects should refuse a token smaller than one they have seen.
func (l *Lease) Token() int64 { return l.token }

// Context returns a context that is cancelled when the lease is lost, with a *[LostError] as its cause, and when it
// is released, with [ErrReleased]. It has the values, but not the deadline, of the context that the lease was
// acquired with.
func (l *Lease) Context() context.Context { return l.ctx }

// Done returns Context().Done().
func (l *Lease) Done() <-chan struct{} { return l.ctx.Done() }

// ValidFor returns how long this process can rely on the lease if it is not renewed: 0 if it is lost or released.
// This time ends before the lease does in the database.
func (l *Lease) ValidFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil || l.released {
		return 0
	}
	left, _ := l.left(time.Now())
	return max(0, left)
}

// left is for how long this process can rely on the lease, and why it ends then. The mutex is held.
func (l *Lease) left(now time.Time) (time.Duration, Reason) {
	left := trust(l.locker.options.TTL) - elapsed.Between(l.sent, now)
	reason := ReasonExpired
	weak := l.locker.c.weak
	if weak.OutliveTTL {
		left = endless
	}
	if weak.OutliveSession {
		return left, reason
	}

	for _, one := range l.sessions {
		if s := one.left(now); s < left {
			left, reason = s, ReasonDisconnected
		}
	}

	return left, reason
}

// Err returns nil while the lease is held, as far as this process knows, and otherwise ErrReleased or a *LostError.
func (l *Lease) Err() error {
	l.checkDeadline()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.lost != nil:
		return l.lost
	case l.released:
		return ErrReleased
	}
	return nil
}

// checkDeadline ends the lease if it has not been renewed in time. The timer calls it, Run once a second, because a timer
// stands still while the machine is suspended, and every use.
func (l *Lease) checkDeadline() {
	l.mu.Lock()
	now := time.Now()
	left, reason := l.left(now)
	over := left <= 0 && l.lost == nil && !l.released
	if !over && l.lost == nil && !l.released { // it was renewed meanwhile; the session has a timer of its own
		l.timer.Reset(max(left, trust(l.locker.options.TTL)-elapsed.Between(l.sent, now)))
	}
	l.mu.Unlock()
	if over {
		l.lose(reason)
	}
}

// renewing notes, before a renewal is sent, that it may bind the lease to a session although its answer is lost.
func (l *Lease) renewing(one *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsure = true
	if one != nil && !slices.Contains(l.sessions, one) {
		l.sessions = append(l.sessions, one)
	}
}

// renewed notes a renewal, and the session that it has bound the lease to.
func (l *Lease) renewed(sent time.Time, one *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.unsure, l.sessions = sent, false, l.sessions[:0]
	if one != nil {
		l.sessions = append(l.sessions, one)
	}
	if l.lost == nil && !l.released {
		l.timer.Reset(trust(l.locker.options.TTL) - elapsed.Between(sent, time.Now()))
	}
}

// renewal is when the newest renewal was sent, and when the lease has to be renewed: at once if it does not end, or may not
// end, with the session that there is.
func (l *Lease) renewal(one *session) (sent, rebind time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case one == nil && len(l.sessions) == 0, one != nil && !l.unsure && slices.Equal(l.sessions, []*session{one}):
		return l.sent, l.sent.Add(l.locker.options.TTL)
	}
	return l.sent, l.sent
}

// lose ends the lease against its holder's will.
func (l *Lease) lose(reason Reason) {
	c := l.locker.c
	err := &LostError{Key: l.key, Token: l.token, Reason: reason}
	if !l.mark(err) {
		return
	}
	if reason != ReasonClosed { // what is closed is renewed until it is released
		c.remove(l)
	}

	c.metrics.lose(reason, elapsed.Between(l.granted, time.Now()))
	l.cancel(err)

	if reason == ReasonClosed { // Run is ending
		c.log.Info("lease still held as Run ends", slog.Int64("token", l.token))
		return
	}

	c.log.Warn("lease lost", slog.String("reason", string(reason)), slog.Int64("token", l.token))

	if f := l.locker.options.OnLost; f != nil {
		go func() { // as documented: it may take its time, and may be the end of the process
			defer func() {
				if v := recover(); v != nil {
					c.log.Error("OnLost panicked", slog.Any("panic", v))
				}
			}()
			f(l, reason)
		}()
	}
}

// mark notes the loss, once, and reports whether this call did.
func (l *Lease) mark(err *LostError) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil || l.released {
		return false
	}
	l.lost = err
	l.timer.Stop()
	return true
}

// discard ends a lease that was not returned to a caller.
func (l *Lease) discard(reason Reason) {
	err := &LostError{Key: l.key, Token: l.token, Reason: reason}
	l.mark(err)
	l.cancel(err)
}

// Release gives up the lease and grants it to the longest waiter. It cancels the lease's context first. It does not
// wait for transactions that the lease guards, nor for the disk; the next owner does. If ctx has already ended, it
// continues for up to five seconds, so that Release can be deferred. A lost lease is released, too, if the database
// still has it, and the error is the *[LostError].
//
// Leases that are released at the same time share one statement; ctx only bounds the wait for its response. Of
// several calls, the first that succeeds returns nil and the others return [ErrReleased]. A failed call can be
// repeated; otherwise the lease ends with its TTL.
func (l *Lease) Release(ctx context.Context) error {
	lost := l.stop()
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = detached(ctx)
		defer cancel()
	}

	select {
	case l.releasing <- struct{}{}:
	case <-ctx.Done():
		return wrap("release", l.key, context.Cause(ctx))
	}
	if l.isDone() {
		<-l.releasing
		return ErrReleased
	}
	err, ok := finish(ctx, 0, patience, func(ctx context.Context) error {
		defer func() { <-l.releasing }()
		err := l.sendRelease(ctx)
		if err == nil || errors.Is(err, ErrLost) {
			l.mu.Lock()
			l.done = true
			l.mu.Unlock()
		}
		return err
	}, nil)
	switch {
	case lost != nil:
		return lost
	case !ok:
		return wrap("release", l.key, context.Cause(ctx))
	}
	return err
}

// stop ends the use of the lease here, before it is given up, and returns why it was lost, if it was.
func (l *Lease) stop() *LostError {
	l.mu.Lock()
	first, lost := !l.released, l.lost
	l.released = true
	l.timer.Stop()
	l.mu.Unlock()
	if first {
		l.cancel(ErrReleased)
		l.locker.c.remove(l)
		if lost == nil {
			l.locker.c.metrics.release(elapsed.Between(l.granted, time.Now()))
		}
	}

	return lost
}

func (l *Lease) isDone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

func (l *Lease) sendRelease(ctx context.Context) error {
	c := l.locker.c
	hold := l.locker.options.MinHold
	if hold == 0 && !l.waited && l.share == nil {
		switch ended, err := c.releases.free(ctx, l.key, l.token); {
		case err != nil:
			return wrap("release", l.key, err)
		case ended:
			return nil
		}
	}

	var next *string
	statement := c.sql.release
	if l.share != nil {
		statement = c.sql.releaseShare
	}
	err := c.handOver(ctx, statement, []any{
		l.key, l.token, hold.Milliseconds(), waiterAlive.Milliseconds(), c.cfg.ClaimTTL.Milliseconds(),
	}, &next)
	if errors.Is(err, pgx.ErrNoRows) {
		return &LostError{Key: l.key, Token: l.token, Reason: ReasonTaken}
	}
	if err != nil {
		return wrap("release", l.key, err)
	}
	return nil
}
