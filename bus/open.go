package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenConfig is what Open does beside making a bus. A nil or zero OpenConfig uses the defaults.
type OpenConfig struct {
	// Migrate, if not nil, brings the schema up to date first, which needs the rights of its owner. Its Schema defaults to
	// that of the bus. Set it in development and in programs that run as their own administrator; elsewhere call the
	// function Migrate at deployment. Defaults to nil: the schema has to be there.
	Migrate *MigrateConfig

	// ListenDSN is the way of the bus' own two connections to the server, for a dsn that goes through a pooler in
	// transaction mode. It takes the place of Config.Connect. Defaults to the dsn.
	ListenDSN string

	// MaxConns is how many connections the pool has at most. The bus takes one for Publish and for transactions on pgx;
	// those of database/sql have the connections of their own pool. Defaults to pool_max_conns in the dsn, or else to what
	// pgxpool takes.
	MaxConns int32

	// NoWait makes Open return before the bus is in sync, for a program that serves without caches until then, such as one
	// that starts during an outage of the database. An error that ends the start is logged, is in Stats as LastError, and
	// comes from Close. Defaults to false: Open waits for Ready.
	NoWait bool
}

// opened is what Open has made around a bus and Close ends.
type opened struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; to be read after done
	close  sync.Once
}

// Open makes a bus with a pool of its own, runs it, and returns when it is in sync: all that a program on database/sql
// needs. The dsn is as pgxpool.ParseConfig takes it; cfg and o may be nil. Call Close at the end.
//
// The context bounds the opening, not the life of the bus. While the server cannot be reached Open goes on trying; when the
// context ends, it returns an error that has the last reason. What trying again cannot mend is an error at once, as with
// Run: ErrSchema, ErrPrivilege, a refused password. ErrConfig names the field.
func Open(ctx context.Context, dsn string, cfg *Config, o *OpenConfig) (*Postgres, error) {
	if o == nil {
		o = &OpenConfig{}
	}
	c := cfg.withDefaults()
	if err := o.apply(&c); err != nil {
		return nil, err
	}

	poolConfig, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: dsn: %w", ErrConfig, err)
	}
	if o.MaxConns > 0 {
		poolConfig.MaxConns = o.MaxConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("bus: open: %w", err)
	}

	p, err := openOn(ctx, pool, &c, o)
	if err != nil {
		pool.Close()
		return nil, err
	}
	p.opened.start(ctx, p)
	if o.NoWait {
		return p, nil
	}
	if err := p.opened.wait(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// apply checks the options and puts into cfg what belongs there.
func (o *OpenConfig) apply(cfg *Config) error {
	switch {
	case o.MaxConns < 0:
		return fmt.Errorf("%w: MaxConns: %d is negative", ErrConfig, o.MaxConns)
	case o.Migrate != nil && o.Migrate.Schema != "" && o.Migrate.Schema != cfg.Schema:
		return fmt.Errorf("%w: Migrate.Schema: %q is not that of the bus, %q", ErrConfig, o.Migrate.Schema, cfg.Schema)
	case o.Migrate != nil && o.Migrate.DryRun != nil:
		return fmt.Errorf("%w: Migrate.DryRun: Open cannot run on a schema that was not made", ErrConfig)
	case o.ListenDSN == "":
		return nil
	case cfg.Connect != nil:
		return fmt.Errorf("%w: ListenDSN: Connect is set as well", ErrConfig)
	}

	direct, err := pgx.ParseConfig(o.ListenDSN)
	if err != nil {
		return fmt.Errorf("%w: ListenDSN: %w", ErrConfig, err)
	}
	cfg.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, direct) }
	return nil
}

func openOn(ctx context.Context, pool *pgxpool.Pool, cfg *Config, o *OpenConfig) (*Postgres, error) {
	p, err := NewPostgres(pool, cfg)
	if err != nil {
		return nil, err
	}
	p.opened = &opened{done: make(chan struct{})}
	if o.Migrate == nil {
		return p, nil
	}

	m := *o.Migrate
	m.Schema = cfg.Schema
	if m.Logger == nil {
		m.Logger = cfg.Logger
	}
	return p, Migrate(ctx, pool, &m)
}

// start runs the bus until Close.
func (o *opened) start(ctx context.Context, p *Postgres) {
	ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(o.done)
		o.err = p.Run(ctx)
	}()
}

// wait returns when the bus is in sync, and closes it if it cannot be.
func (o *opened) wait(ctx context.Context, p *Postgres) error {
	select {
	case <-p.Ready():
		return nil
	case <-o.done:
		return fmt.Errorf("bus: open: %w", p.Close())
	case <-ctx.Done():
	}

	last := p.Stats().LastError
	if err := p.Close(); err != nil {
		return fmt.Errorf("bus: open: %w", err)
	}
	if last == "" {
		last = "not in sync yet"
	}
	return fmt.Errorf("bus: open: %w: %s", context.Cause(ctx), last)
}

// Close ends a bus that Open has opened: it waits until Run has returned, closes the pool, and returns the error of Run,
// which is nil unless the bus could not start. Connections of the pool that are in use are waited for, as by
// pgxpool.Pool.Close. It can be called more than once and by any goroutine. For a bus that NewPostgres made it is an
// error: end that one by the context of its Run.
func (p *Postgres) Close() error {
	o := p.opened
	if o == nil {
		return errNotOpened
	}
	o.cancel()
	<-o.done
	o.close.Do(p.pool.Close)
	return o.err
}

var errNotOpened = errors.New("bus: close: the bus was not opened by Open; end the context of Run")

// Pool returns the pool that the bus was made with or that Open has made: for a session store, for locks, and for
// statements on pgx. Close closes it if Open has made it.
func (p *Postgres) Pool() *pgxpool.Pool { return p.pool }
