package bus

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus/watch"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// Postgres is the bus over Postgres. Make it with [NewPostgres] and call [Postgres.Run], or let [Open] do both. All
// methods are safe for concurrent use.
type Postgres struct {
	*env
	pool        *pgxpool.Pool
	connections *ownconn.Dialer
	prepares    bool   // the pool keeps prepared statements
	insertName  string // of the statement that Commit sends, where it is prepared
	registry    *registry
	applier     *applier
	health      *health
	outbox      *outbox
	confirms    confirmations
	watchers    *stateWatchers
	watches     *watch.Installer
	staged      atomic.Uint32 // numbers events staged in transactions of others
	started     atomic.Bool
	opened      *opened      // by Open; nil: made by NewPostgres
	askedOld    atomic.Int64 // when old questions were last deleted, in seconds since 1970
}

var _ Bus = (*Postgres)(nil)

// NewPostgres returns a bus on the database of a pool. It starts nothing and does no I/O. cfg is copied, and may be
// nil. The bus never closes the pool, and uses it only for Publish, for transactions and for queries such as Pods.
// The error is [ErrConfig] and names the field.
func NewPostgres(pool *pgxpool.Pool, cfg *Config) (*Postgres, error) {
	c := cfg.withDefaults()
	if pool == nil {
		return nil, fmt.Errorf("%w: pool is nil", ErrConfig)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	watches, err := watch.New(pool, &watch.Config{Schema: c.Schema})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}

	e := &env{cfg: c, id: uuid.New(), sql: loadQueries(c.Schema), requests: newRequests()}
	e.log = c.Logger.With(slog.String("component", "pgcoherence"), slog.String("pod", c.Name))
	e.lease.staleAfter = c.StaleAfter

	a := &applier{env: e}
	a.heard.pace = pace{announce: c.AnnounceInterval, sweep: c.SweepInterval}
	a.registry = newRegistry(e.log, &e.stats, c.QueueSize, func() {
		a.onBarrierPassed()
		if e.requests.beat.Load() { // a beat on request waits for the position, which has moved
			e.requests.signal()
		}
	})

	p := &Postgres{
		env: e, pool: pool, connections: newConnections(pool, &e.cfg), watches: watches, registry: a.registry, applier: a, health: newHealth(&a.fresh, c.StaleAfter),
		outbox: &outbox{signal: e.requests.signal},
	}
	p.watchers = newStateWatchers(e, p.health)
	p.insertName = "pgc_event_" + c.Schema
	p.prepares = pool.Config().ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement
	p.staged.Store(binary.LittleEndian.Uint32(p.id[12:]))
	return p, nil
}

// ID returns the random id of this pod.
func (p *Postgres) ID() string { return p.env.ID() }

// Ready returns a channel that is closed when the bus is first proven to be in sync (Live or Polling). It stays open
// if Run cannot start, so wait for the end of Run as well:
//
//	ended := make(chan error, 1)
//	go func() { ended <- b.Run(ctx) }()
//	select {
//	case <-b.Ready():
//	case err := <-ended:
//		return err
//	}
func (p *Postgres) Ready() <-chan struct{} { return p.health.ready }

// Subscribe implements [Bus]. It works before, during and after Run. Before and after Run only the events that are
// published through this bus arrive.
func (p *Postgres) Subscribe(topic string, s Subscriber) (unsubscribe func()) {
	return p.registry.subscribe(topic, s)
}

// Fresh implements [Bus]. It takes one atomic load and one reading of the clock.
func (p *Postgres) Fresh() bool { return p.health.isFresh() }

// State implements Bus.
func (p *Postgres) State() State { return p.health.current() }

// WatchState returns a channel that holds the newest state: first the current one, then each change. A slow receiver
// misses states in between, but never the last one. Call stop when done. The channel is not closed.
func (p *Postgres) WatchState() (states <-chan State, stop func()) { return p.watchers.add() }

// Stats returns the current counts and state.
func (p *Postgres) Stats() Stats {
	s := p.stats.snapshot()
	s.State = p.State()
	s.FreshAge = p.applier.fresh.age()
	s.Epoch = p.applier.epochNow()
	s.Pods = int(p.pods.Load())
	s.Pending = p.outbox.size()
	return s
}

// Resets returns the last resets of all subscribers, at most 16, newest first.
func (p *Postgres) Resets() []ResetRecord { return p.stats.resetLog.recent() }

// Topics returns the topics that have subscribers, sorted by name.
func (p *Postgres) Topics() []TopicStats { return p.registry.stat() }

// Run connects and keeps the caches coherent until ctx ends. It returns when all its goroutines have ended; for
// subscribers that do not return it waits at most a few seconds. It survives every outage of the database. It returns
// nil when ctx ends, and an error only at the start, for permanent errors: a missing or old schema ([ErrSchema]), a
// missing privilege or rows hidden by row level security ([ErrPrivilege]), a rejected password, a missing database.
// It also logs the error with a remedy, because a program that ignores it runs without caches. A second call returns
// [ErrRunning].
func (p *Postgres) Run(ctx context.Context) (err error) {
	if !p.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer func() { p.end(err) }()

	first, err := p.firstSession(ctx)
	if err != nil || first == nil {
		return err
	}
	p.health.set(CatchingUp)
	p.outbox.start()
	defer p.outbox.stop()

	l := &listener{env: p.env, applier: p.applier, registry: p.registry, dialer: newDialer(p, "listen")}
	c := newControl(p.env, p.applier, p.health, p.outbox, &p.confirms, l, newDialer(p, "control").again())
	h := &historyReader{env: p.env, pool: p.pool, applier: p.applier}

	var wg sync.WaitGroup
	if p.cfg.Mode != Poll {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Go(func() { c.run(ctx, first) })
	wg.Go(func() { p.watchers.run(ctx) })
	wg.Go(func() { h.run(ctx) })
	wg.Wait()
	return nil
}

// end closes the bus for good: no trust, one last reset, and the subscribers get some time to finish. An error is why
// Run could not start.
func (p *Postgres) end(err error) {
	if err != nil {
		p.stats.setError(err)
		p.log.Error("bus cannot start: nothing is cached", slog.Any("error", err), slog.String("remedy", remedy(err)))
	}
	p.health.set(Closed)
	p.confirms.close()
	p.applier.close()
	p.watchers.check()
	if !p.registry.drain(p.cfg.StaleAfter) {
		p.log.Warn("subscriber still busy after the bus ended")
	}
}
