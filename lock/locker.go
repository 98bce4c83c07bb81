package lock

import (
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Locker takes leases and keeps them. Make it with New, run it with Run. All methods are safe for concurrent use by any
// goroutine.
type Locker struct {
	c       *core // shared with what With makes
	options Options
	meta    *string // Options.Metadata as JSON
}

// New makes a Locker over the database of a pool. It starts nothing and does no I/O; cfg is copied, nil is fine. The pool
// is never closed; acquiring and releasing take connections from it, renewing has one of its own. The bus wakes waiters
// in other processes: with a bus.Local, or none (nil), those look for themselves once a second. The error is ErrConfig
// and names the field.
func New(b bus.Bus, pool *pgxpool.Pool, cfg *Config) (*Locker, error) {
	c := cfg.withDefaults()
	if pool == nil {
		return nil, fmt.Errorf("%w: pool is nil", ErrConfig)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	meta, err := c.Options.metadata()
	if err != nil {
		return nil, err
	}
	own := &core{
		cfg: c, bus: b, pool: pool, sql: loadQueries(c.Schema), metrics: newMetrics(c.Name),
		log:    c.Logger.With(slog.String("component", "pgcoherence lock"), slog.String("owner", c.Owner)),
		leases: map[*Lease]struct{}{}, waiters: map[string]*waiter{}, awaited: map[string]int{}, watchers: map[string]map[chan struct{}]struct{}{},
		poke: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	own.connections = newConnections(pool, &own.cfg)
	own.member = uuid.NewString()
	own.entry = make(chan struct{}, max(1, pool.Config().MaxConns*3/4))
	own.releases.c, own.leaves.c = own, own
	if c.TakeoverAfter > 0 {
		own.sessions = newSessions(own)
	}
	return &Locker{options: c.Options, meta: meta, c: own}, nil
}

// With is the same Locker with other options for what is taken through it; fields left zero stay. It shares everything
// else: only one of them is to be run. The error is ErrConfig.
func (l *Locker) With(o Options) (*Locker, error) {
	o = o.over(l.options)
	if err := o.validate(); err != nil {
		return nil, err
	}
	meta, err := o.metadata()
	return &Locker{c: l.c, options: o, meta: meta}, err
}
