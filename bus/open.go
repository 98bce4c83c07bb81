package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenConfig configures the pool and the start of a bus that [Open] makes. A nil or zero OpenConfig uses the
// defaults.
type OpenConfig struct {
	// Migrate, if not nil, brings the schema up to date first, which needs the rights of the schema's owner. Its
	// Schema defaults to that of the bus. Use it in development, and in programs that administer their own database;
	// otherwise call the function Migrate at deployment. Defaults to nil: the schema has to exist.
	Migrate *MigrateConfig

	// ListenDSN is the address for the bus's own two connections, where dsn goes through a pooler in transaction
	// mode. It replaces Config.Connect. Defaults to dsn.
	ListenDSN string

	// MaxConns is the maximum size of the pool. The bus uses the pool for Publish and for transactions on pgx;
	// transactions on database/sql use the connections of their own pool. Defaults to pool_max_conns in the dsn, or
	// else to the default of pgxpool.
	MaxConns int32

	// NoWait makes Open return before the bus is in sync, for a program that can serve without caches until then, for
	// example during an outage of the database. An error that ends the start is then logged, reported in Stats as
	// LastError, and returned by Close. Defaults to false: Open waits for Ready.
	NoWait bool
}

// opened is what Open has made around a bus and Close ends.
type opened struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; to be read after done
	close  sync.Once
}

// Open makes a bus with a pool of its own, runs it, and returns when it is in sync. It is all that a program on
// database/sql needs. dsn has the syntax of pgxpool.ParseConfig. cfg and o may be nil. Call [Postgres.Close] at the
// end.
//
// The context bounds the call, not the life of the bus. While the server cannot be reached, Open keeps trying until
// ctx ends, and then returns an error with the last reason. It returns permanent errors at once, as Run does:
// [ErrSchema], [ErrPrivilege], a rejected password. ErrConfig names the field.
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

// Close ends a bus that [Open] has made. It waits until Run has returned, closes the pool, and returns the error of
// Run, which is nil unless the bus could not start. Like pgxpool.Pool.Close it waits for connections that are in use.
// Later calls return the same error. For a bus made by [NewPostgres] it returns an error: end the context of its Run
// instead.
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

// Pool returns the pool that was passed to [NewPostgres] or made by [Open], for a session store, for locks, and for
// statements on pgx. Close closes it only if Open has made it.
func (p *Postgres) Pool() *pgxpool.Pool { return p.pool }
