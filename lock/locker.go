package lock

import (
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Locker acquires leases and renews them. Make it with [New] and call [Locker.Run]. All methods are safe for
// concurrent use.
type Locker struct {
	c       *core // shared with what With makes
	options Options
	meta    *string // Options.Metadata as JSON
}

// New returns a Locker on the database of a pool. It starts nothing and does no I/O. cfg is copied, and may be nil.
// The Locker never closes the pool. Acquiring and releasing use its connections; renewing uses a connection of its
// own. The bus wakes waiters in other processes. With a bus.Local, or with nil, waiters poll once a second. The error
// is [ErrConfig] and names the field.
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
	own.member, own.chunk = uuid.NewString(), mostTouched
	own.entry = make(chan struct{}, max(1, pool.Config().MaxConns*3/4))
	own.releases, own.takings, own.leaves.c = newReleases(own), newTakings(own), own
	if c.TakeoverAfter > 0 {
		own.sessions = newSessions(own)
	}
	return &Locker{options: c.Options, meta: meta, c: own}, nil
}

// With returns the same Locker with other options for the leases acquired through it; zero fields keep their values.
// Everything else is shared: call Run on only one of them. The error is ErrConfig.
func (l *Locker) With(o Options) (*Locker, error) {
	o = o.over(l.options)
	if err := o.validate(); err != nil {
		return nil, err
	}
	meta, err := o.metadata()
	return &Locker{c: l.c, options: o, meta: meta}, err
}
