package main

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver of a single process

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/status"
)

// visit is the data of a session: how the page calls its user.
type visit struct{ Name string }

// backend is what differs between one process and many pods. The rest of the application does not know which it is.
type backend struct {
	bus      bus.SQLBus
	db       *sql.DB
	sessions sessionstore.Sessions[visit]
	tier     cache.Tier // nil: none
	locker   *lock.Locker
	alone    sync.Mutex // takes the place of locker

	status  status.Config
	running []func(context.Context) error
	closers []func() error
}

func openBackend(ctx context.Context, s *settings) (*backend, error) {
	if s.bus.DSN == "" {
		return openLocal(ctx, s)
	}
	return openPostgres(ctx, s)
}

func (s *settings) sessionConfig() *sessionstore.Config[visit] {
	c := &sessionstore.Config[visit]{Policy: sessionstore.Policy{Absolute: 7 * 24 * time.Hour, Idle: 24 * time.Hour}}
	if s.sealKey != "" {
		c.SealKeys = [][]byte{[]byte(s.sealKey)}
	}
	return c
}

func openPostgres(ctx context.Context, s *settings) (*backend, error) {
	opening, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p, err := bus.Open(opening, s.bus.DSN, &s.bus.Config, &s.bus.Open)
	if err != nil {
		return nil, err
	}
	b := &backend{bus: p, db: stdlib.OpenDBFromPool(p.Pool())}
	b.closers = []func() error{p.Close, b.db.Close}

	tier, err := redistier.FromEnv("")
	switch {
	case err == nil:
		b.tier = tier
		b.closers = append(b.closers, func() error { tier.Close(); return nil })
	case !errors.Is(err, redistier.ErrNoURL):
		return nil, errors.Join(err, b.close())
	}

	cfg := s.sessionConfig()
	cfg.Schema = s.bus.Config.Schema
	store, err := sessionstore.New(p, p.Pool(), cfg)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.locker, err = lock.New(p, p.Pool(), &lock.Config{Schema: s.bus.Config.Schema}); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.sessions = store
	b.closers = append(b.closers, store.Close)
	b.running = []func(context.Context) error{store.Run, b.locker.Run}
	b.status = status.Config{Sessions: []status.Sessions{store}, Lockers: []status.Locker{b.locker}}
	return b, nil
}

func openLocal(ctx context.Context, s *settings) (*backend, error) {
	db, err := sql.Open("sqlite", s.sqlite)
	if err != nil {
		return nil, err
	}

	db.SetMaxOpenConns(1) // SQLite has one writer, and a database in memory lives as long as a connection
	l := bus.NewLocal()
	b := &backend{bus: l, db: db, closers: []func() error{db.Close}}
	if err := makeTables(ctx, db); err != nil {
		return nil, errors.Join(err, b.close())
	}

	store, err := sessionstore.OpenLocal(ctx, l, db, s.sessionConfig())
	if err != nil {
		return nil, errors.Join(err, b.close())
	}

	b.sessions = store
	b.closers = append(b.closers, store.Close)
	b.running = []func(context.Context) error{store.Run}
	return b, nil
}

// run starts what has to run beside the server. The function that it returns ends that and waits.
func (b *backend) run() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	errs := make([]error, len(b.running))
	var wg sync.WaitGroup
	for i, run := range b.running {
		wg.Go(func() { errs[i] = run(ctx) })
	}
	return func() error {
		cancel()
		wg.Wait()
		return errors.Join(errs...)
	}
}

// close closes in the reverse order of opening.
func (b *backend) close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i]())
	}
	return errors.Join(errs...)
}

// exclusively runs fn while no other pod does so for the same key. The guard makes a transaction commit before anybody
// else can be granted the lease, or not at all.
func (b *backend) exclusively(ctx context.Context, key string, fn func(ctx context.Context, guard func(*sql.Tx) error) error) error {
	if b.locker == nil {
		b.alone.Lock()
		defer b.alone.Unlock()
		return fn(ctx, func(*sql.Tx) error { return nil })
	}
	return b.locker.Do(ctx, key, func(ctx context.Context, lease *lock.Lease) error {
		return fn(ctx, func(tx *sql.Tx) error { return lease.GuardSQL(ctx, tx) })
	})
}

// migrateDatabase is the deployment's step: our schema, with what the role of the pods needs, and the application's tables.
func migrateDatabase(ctx context.Context, s *settings) error {
	if s.bus.DSN == "" {
		return nil // a single process makes its tables itself
	}

	pool, err := pgxpool.New(ctx, s.bus.DSN)
	if err != nil {
		return err
	}
	defer pool.Close()

	schema := s.bus.Config.Schema
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Schema: schema, AppRole: s.appRole}); err != nil {
		return err
	}
	if err := sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Schema: schema, AppRole: s.appRole}); err != nil {
		return err
	}
	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Schema: schema, AppRole: s.appRole}); err != nil {
		return err
	}

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()

	return makeTables(ctx, db)
}
