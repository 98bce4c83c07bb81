package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// staleWorld is what all sides of the comparison share, so that each fault hits
// all of them at once: the servers, and the ways to them.
type staleWorld struct {
	server  *server
	standby *pgtest.Server
	bouncer *pgtest.Bouncer
	redis   *redistest.Server

	main  *link // to Postgres, for statements; it follows a failover
	line  *link // to Postgres, for connections that listen; faults hit it
	cable *link // to Redis, of the pod that reads; faults hit it

	reader *pgxpool.Pool // of the pod whose cache is read
	writer *pgxpool.Pool // of the pod that changes rows

	slow atomic.Bool // loads take a while between their statement and their return
}

// slowLoad is how long such a load takes.
const slowLoad = 120 * time.Millisecond

// staleTable holds the rows that are cached. Each side has rows of its own.
const staleTable = `CREATE TABLE stale_row (id bigint PRIMARY KEY, version bigint NOT NULL DEFAULT 0)`

// statementsOf marks the connections that no fault is meant for.
const statementsOf = "stale-statements"

func startStaleWorld(ctx context.Context, rows int) (_ *staleWorld, err error) {
	w := &staleWorld{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.redis, err = redistest.Start(ctx, &redistest.Config{TCP: true}); err != nil {
		return nil, err
	}
	if w.server, err = startServer(ctx, usualConnections); err != nil {
		return nil, err
	}
	// Before anything is connected, since the primary is stopped for it.
	if w.standby, err = w.server.postgres.Standby(ctx); err != nil {
		return nil, err
	}
	if w.bouncer, err = pgtest.StartBouncer(ctx, w.server.postgres.DSN(w.server.database), &pgtest.BouncerConfig{
		Ignore: []string{"application_name"},
	}); err != nil {
		return nil, err
	}

	for _, one := range []struct {
		link **link
		to   string
	}{{&w.main, w.address(w.server.postgres)}, {&w.line, w.address(w.server.postgres)}, {&w.cable, w.redis.Address()}} {
		if *one.link, err = startLink(one.to); err != nil {
			return nil, err
		}
	}
	if w.reader, err = w.pool(ctx, 24); err != nil {
		return nil, err
	}
	if w.writer, err = w.pool(ctx, 16); err != nil {
		return nil, err
	}
	if _, err = w.writer.Exec(ctx, staleTable); err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	if _, err = w.writer.Exec(ctx, `INSERT INTO stale_row SELECT i FROM generate_series(0, $1::int - 1) AS i`, rows); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	return w, nil
}

// address is host and port of a server.
func (w *staleWorld) address(s *pgtest.Server) string {
	config, err := pgx.ParseConfig(s.DSN(w.server.database))
	if err != nil {
		panic(err) // pgtest made it
	}
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}

// config is that of connections to Postgres by way of a link.
func (w *staleWorld) config(by *link) *pgx.ConnConfig {
	config, err := pgx.ParseConfig(w.server.postgres.DSN(w.server.database))
	if err != nil {
		panic(err) // pgtest made it
	}
	config.Host, config.Port = "127.0.0.1", by.port()
	config.Fallbacks = nil
	config.ConnectTimeout = time.Second
	return config
}

func (w *staleWorld) pool(ctx context.Context, connections int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(w.server.postgres.DSN(w.server.database))
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	config.ConnConfig = w.config(w.main)
	config.ConnConfig.RuntimeParams["application_name"] = statementsOf
	config.MaxConns = connections
	return pgxpool.NewWithConfig(ctx, config)
}

// listen opens a connection that listens, by way of the line.
func (w *staleWorld) listen(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, w.config(w.line))
}

// listenDSN is the same for drivers that want a string.
func (w *staleWorld) listenDSN() string {
	config := w.config(w.line)
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=disable connect_timeout=2",
		config.Port, config.User, config.Password, config.Database)
}

// read is what loaders do. The context of a reader does not end a load: all
// libraries here share loads.
func (w *staleWorld) read(ctx context.Context, key int64) (version int64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := w.reader.QueryRow(ctx, `SELECT version FROM stale_row WHERE id = $1`, key).Scan(&version); err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	if w.slow.Load() {
		sleep(ctx, slowLoad)
	}
	return version, nil
}

// rowUpdate can be tried again: it never goes back to an older version.
const rowUpdate = `UPDATE stale_row SET version = greatest(version, $2) WHERE id = $1`

// inTx updates a row, and does more in the same transaction if there is more to do.
func (w *staleWorld) inTx(ctx context.Context, key, version int64, end ending, more func(tx pgx.Tx) error) error {
	tx, err := w.writer.Begin(ctx)
	if err != nil {
		return fmt.Errorf("change: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after Commit this does nothing

	if _, err := tx.Exec(ctx, rowUpdate, key, version); err != nil {
		return fmt.Errorf("change: %w", err)
	}

	if more != nil {
		if err := more(tx); err != nil {
			return fmt.Errorf("change: %w", err)
		}
	}

	if end == rolledBack {
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("change: %w", err)
	}

	return nil
}

// close stops all there is.
func (w *staleWorld) close() error {
	var errs []error

	for _, l := range []*link{w.main, w.line, w.cable} {
		if l != nil {
			l.close() // before the pools, which wait for their connections
		}
	}

	for _, pool := range []*pgxpool.Pool{w.reader, w.writer} {
		if pool != nil {
			pool.Close()
		}
	}

	if w.bouncer != nil {
		errs = append(errs, w.bouncer.Close())
	}
	if w.standby != nil {
		errs = append(errs, w.standby.Close())
	}
	if w.server != nil {
		errs = append(errs, w.server.postgres.Close()) // with its databases: it may be the one that failed
	}
	if w.redis != nil {
		errs = append(errs, w.redis.Close())
	}

	return errors.Join(errs...)
}
