package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

// Store keeps sessions with data of type T. All methods are safe for concurrent use. It is a prometheus.Collector.
type Store[T any] struct {
	cfg     Config[T]
	bus     bus.Bus
	pool    *pgxpool.Pool
	sql     *queries
	log     *slog.Logger
	sealer  sealer
	share   sharing
	rows    *cache.Cache[key, *row[T]]
	tier    *sealedTier // nil: none
	lookups lookups
	touches touches
	streams streams
	stats   counters
	metrics *metrics
	clock   databaseClock
	weak    hook.SessionGuards // off; see Weaken

	started atomic.Bool
	running atomic.Bool
	ready   chan struct{}
}

// New returns a store on the tables that [Migrate] has created in the database of a pool. It starts nothing and does
// no I/O. cfg is copied, and may be nil. The bus is a *bus.Postgres on the same database; with a *bus.Local the store
// is for programs that run as one process. The error is [ErrConfig] and names the field.
func New[T any](b bus.Bus, pool *pgxpool.Pool, cfg *Config[T]) (*Store[T], error) {
	if b == nil {
		return nil, fmt.Errorf("%w: bus is nil", ErrConfig)
	}
	if pool == nil {
		return nil, fmt.Errorf("%w: pool is nil", ErrConfig)
	}

	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}

	if cfg == nil || cfg.MaxLookups == 0 {
		c.MaxLookups = min(c.MaxLookups, max(int(pool.Config().MaxConns)/2, 1))
	}
	s := &Store[T]{
		cfg: c, bus: b, pool: pool, sql: loadQueries(c.Schema), share: sharingOf(&c),
		sealer:  c.sealer(),
		lookups: newLookups(c.MaxLookups, c.MaxWaiting),
		ready:   make(chan struct{}),
		log:     c.logger(),
	}

	s.touches.init()
	s.streams.init(s.cfg.now)
	s.metrics = newMetrics(c.Name)
	var tier cache.Tier
	if c.Tier != nil {
		s.tier = &sealedTier{Tier: c.Tier}
		tier = s.tier
	}

	var err error
	s.rows, err = cache.New(b, Topic, cache.LoaderFunc[key, *row[T]](s.load), &cache.Config[key, *row[T]]{
		Size: c.Size, TTL: cache.Forever, Jitter: -1, NoNegative: true, WhenStale: c.WhenStale, LoadTimeout: c.LookupTimeout,
		LoadConcurrency: c.MaxLookups + c.MaxWaiting + 1, FailureBackoff: -1, // what waits, and what is too much, the store decides
		KeyString: key.String, ParseKey: parseKey, Tier: tier, Codec: rowCodec[T]{s}, Logger: c.Logger, Name: c.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return s, nil
}

// Run writes uses in batches, deletes old rows, and watches the sessions of streams (Bind), until ctx ends. It writes
// the last uses before it returns. Without it sessions work, but each request writes its own due use, no rows are
// deleted, and Bind fails. Run survives outages of the database and returns nil when ctx ends. It returns [ErrSchema]
// at the start if the tables are missing or old, and [ErrRunning] on a second call.
func (s *Store[T]) Run(ctx context.Context) error {
	if !s.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	if err := s.checkSchema(ctx); err != nil {
		return err
	}
	defer s.bus.Subscribe(endTopic, &s.streams)()
	s.streams.open()
	s.running.Store(true)
	close(s.ready)
	var wg sync.WaitGroup
	wg.Go(func() { s.runTouches(ctx) })
	wg.Go(func() { s.runStreams(ctx) })
	if s.cfg.SweepInterval > 0 {
		wg.Go(func() { s.runSweep(ctx) })
	}

	wg.Wait()
	s.running.Store(false)
	s.flushLast(ctx)
	return nil
}

// Ready returns a channel that is closed when Run has begun. From then until the end of Run, Bind works.
func (s *Store[T]) Ready() <-chan struct{} { return s.ready }

// checkSchema fails for what waiting cannot mend. While the database cannot be asked it is taken to be well.
func (s *Store[T]) checkSchema(ctx context.Context) error {
	err := migrations().Check(ctx, s.pool, s.cfg.Schema)
	if err == nil || errors.Is(err, ErrSchema) || errors.Is(err, migrate.ErrHidden) {
		return err
	}
	s.log.WarnContext(ctx, "schema not checked", slog.Any("error", explain("check schema", err)))
	return nil
}

// Close unsubscribes the store from the bus and drops its memory. Later reads return ErrClosed. Only programs that
// make stores repeatedly need it. Run, if it was called, must have ended.
func (s *Store[T]) Close() error { return s.rows.Close() }
