package redistier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// lane is one connection to a standalone server, or all connections to a cluster or to what sentinels name. It connects
// when it is first needed, and again when the connection is lost, on a goroutine of the Tier: callers wait for that as
// long as their context says, and no more than one attempt is under way.
type lane struct {
	tier  *Tier
	first bool // finds out what the server is
	link  atomic.Pointer[link]

	mu      sync.Mutex
	attempt *attempt // under way
	backoff backoff.Backoff
	next    time.Time // when to try again
	last    error     // why the last attempt failed, or how the last link ended
	down    bool      // logged as such
}

// attempt is one try to connect. link and err are written before done is closed.
type attempt struct {
	done chan struct{}
	link *link
	err  error
}

func newLane(t *Tier, first bool) *lane {
	return &lane{tier: t, first: first, backoff: backoff.Backoff{Base: backoffBase, Max: backoffMax}}
}

// get returns the link, connected again if need be.
func (l *lane) get(ctx context.Context) (*link, error) {
	if found := l.link.Load(); found != nil {
		return found, nil
	}

	a, err := l.try()
	if err != nil {
		return nil, err
	}

	select {
	case <-a.done:
		return a.link, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// try is the attempt under way, a new one if it is due.
func (l *lane) try() (*attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if found := l.link.Load(); found != nil {
		return finished(found), nil
	}
	if l.attempt != nil {
		return l.attempt, nil
	}
	if time.Now().Before(l.next) {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, l.last)
	}

	a := &attempt{done: make(chan struct{})}
	if !l.tier.start(func() { l.run(a) }) {
		return nil, ErrClosed
	}
	l.attempt = a
	return a, nil
}

func finished(found *link) *attempt {
	a := &attempt{done: make(chan struct{}), link: found}
	close(a.done)
	return a
}

// run is the attempt's goroutine.
func (l *lane) run(a *attempt) {
	a.link, a.err = l.connect()

	l.mu.Lock()
	l.attempt = nil
	switch {
	case a.err == nil:
		if l.first {
			l.tier.single.Store(a.link.direct)
		}
		l.link.Store(a.link)
		if l.down {
			l.tier.cfg.Logger.Info("redis is back")
		}
		l.down = false
	case errors.Is(a.err, ErrClosed):
	default:
		l.failed(a.err)
	}
	l.mu.Unlock()

	if a.err == nil {
		if l.tier.closing() {
			l.drop(a.link)
		} else if a.link.direct && !a.link.dialer.alive() {
			l.lost(a.link, errLost) // before it was ours
		}
	}

	close(a.done)
}

// failed notes why there is no link. The lock is held.
func (l *lane) failed(err error) {
	l.last, l.next = err, time.Now().Add(l.backoff.Next())
	if !l.down {
		l.tier.cfg.Logger.Warn("redis is not reachable", slog.Any("error", err))
	}
	l.down = true
}

// connect makes a client. Everything in it is bounded by the dial's and the read's timeout, and ended by Close.
func (l *lane) connect() (made *link, err error) {
	made = &link{tier: l.tier, born: time.Now()}
	made.dialer = &dialer{
		life: l.tier.life, timeout: l.tier.cfg.DialTimeout, writeTimeout: l.tier.cfg.WriteTimeout, maxValue: l.tier.cfg.MaxValueSize,
		onLost: func() { l.lost(made, errLost) }, conns: map[*guarded]struct{}{}, gates: map[string]*gate{},
	}

	defer func() {
		// rueidis reads what a server says of a topology without looking at its shape.
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrProtocol, v)
		}
		if err != nil {
			made.close()
			made = nil
		}
	}()

	options := l.tier.options
	options.DialCtxFn = made.dialer.dial
	options.ForceSingleClient = !l.first
	client, err := rueidis.NewClient(options)
	if client != nil {
		made.client = client
	}
	if err != nil {
		return made, fmt.Errorf("redistier: connect: %w", err)
	}

	if made.direct = client.Mode() == rueidis.ClientModeStandalone; made.direct {
		made.dialer.seal()
	}
	return made, nil
}

// lost is called when a link's connection has ended.
func (l *lane) lost(gone *link, why error) {
	l.mu.Lock()
	if l.link.Load() == gone {
		if time.Since(gone.born) < settled {
			l.failed(why) // connecting works, staying connected does not
		} else {
			l.backoff.Reset()
		}
	}
	l.mu.Unlock()
	l.drop(gone)
}

// drop takes a link away and closes it in the background.
func (l *lane) drop(gone *link) {
	if l.link.CompareAndSwap(gone, nil) && !l.tier.start(gone.close) {
		gone.close()
	}
}
