package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// quiet are the settings of a server on which nothing happens but what is
// measured: durable commits, and a checkpoint only when one is asked for.
var quiet = map[string]string{
	"fsync":              "on",
	"synchronous_commit": "on",
	"shared_buffers":     "512MB",
	"max_wal_size":       "32GB",
	"checkpoint_timeout": "1h",
}

// server is a running Postgres with a database of the benchmark's own.
type server struct {
	postgres *pgtest.Server
	database string
}

// Our own server takes at least the usual number of connections, enough for
// commands with few pods, and at most so many as a small machine can bear.
const usualConnections, mostConnections = 200, 1200

// superusers are the connections that the server keeps for them, by default.
const superusers = 3

// startServer starts a Postgres and makes a database with the bus' schema and
// a table of an application in it. It may take fewer connections than asked for:
// room tells.
func startServer(ctx context.Context, connections int) (_ *server, err error) {
	settings := maps.Clone(quiet)
	settings["max_connections"] = strconv.Itoa(min(max(connections, usualConnections), mostConnections) + superusers)
	postgres, err := pgtest.Start(ctx, &pgtest.Config{Settings: settings})
	if err != nil {
		return nil, err
	}
	s := &server{postgres: postgres}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// beside makes another such database on the same server. The server wakes all
// listeners of a database for every notification in it, whatever its channel:
// two sides of a comparison that both listen would weigh on each other in one.
// The caller drops it.
func (s *server) beside(ctx context.Context) (*server, error) {
	other := &server{postgres: s.postgres}
	if err := other.create(ctx); err != nil {
		return nil, errors.Join(err, other.drop())
	}
	return other, nil
}

// create makes the database and fills it.
func (s *server) create(ctx context.Context) error {
	database := "pgcoherence_bench_" + rand.Text()
	if err := s.maintain(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()); err != nil {
		return err
	}
	s.database = database
	return s.fill(ctx)
}

// room says why so many connections cannot be made; empty if they can.
func (s *server) room(ctx context.Context, connections int) (string, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer disconnect(conn)

	var most int
	err = conn.QueryRow(ctx, `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).Scan(&most)
	if err != nil {
		return "", fmt.Errorf("room: %w", err)
	}
	if connections > most {
		return fmt.Sprintf("%d connections, and the server takes %d", connections, most), nil
	}
	if free := freeMemory(); free >= 0 && int64(connections)*perConnection > free {
		return fmt.Sprintf("%d connections, and %d MB of memory are free", connections, free>>20), nil
	}

	return "", nil
}

// items is how many rows the application's table has: enough that writers
// rarely meet on a page, few enough to stay in memory.
const items = 100_000

// fill makes the tables. Updates are HOT: half of each page is free, and no
// index covers what they change. The rewriting after the checkpoint takes the
// full-page images out of the measurement.
func (s *server) fill(ctx context.Context) error {
	pool, err := s.pool(ctx, 1, nil)
	if err != nil {
		return err
	}
	defer pool.Close()

	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}

	for _, statement := range []string{
		`CREATE TABLE item (id bigint PRIMARY KEY, value bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50)`,
		fmt.Sprintf(`INSERT INTO item SELECT i FROM generate_series(0, %d) AS i`, items-1),
		`VACUUM ANALYZE item`,
		`CHECKPOINT`,
		`UPDATE item SET value = value + 1`,
		`VACUUM item`,
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}

	return nil
}

// pool opens all of its connections before it returns. Params are settings of
// its sessions.
func (s *server) pool(ctx context.Context, connections int, params map[string]string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.postgres.DSN(s.database))
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}

	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	maps.Copy(config.ConnConfig.RuntimeParams, params)

	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}

	held := make([]*pgxpool.Conn, 0, connections)
	for range connections {
		var conn *pgxpool.Conn
		if conn, err = pool.Acquire(ctx); err != nil {
			break
		}
		held = append(held, conn)
	}

	for _, conn := range held {
		conn.Release()
	}

	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("pool: %w", err)
	}

	return pool, nil
}

// connect opens one connection to the benchmark's database.
func (s *server) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.postgres.DSN(s.database))
}

// environment also refuses a server that answers commits before they are
// durable: somebody else's may have been given by its address.
func (s *server) environment(ctx context.Context) (environment, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return environment{}, err
	}
	defer disconnect(conn)

	e, err := readEnvironment(ctx, conn, string(s.postgres.Kind()))
	if err != nil {
		return environment{}, err
	}

	for _, name := range []string{"fsync", "synchronous_commit"} {
		if e.Settings[name] != "on" {
			return environment{}, fmt.Errorf("the server has %s=%s: want on", name, e.Settings[name])
		}
	}

	return e, nil
}

// maintain runs a statement outside of the benchmark's database.
func (s *server) maintain(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.postgres.DSN(""))
	if err != nil {
		return err
	}
	defer disconnect(conn)
	_, err = conn.Exec(ctx, statement)
	return err
}

// close drops the database and stops the server. It does so after an interrupt
// as well.
func (s *server) close() error {
	return errors.Join(s.drop(), s.postgres.Close())
}

// drop drops the database.
func (s *server) drop() error {
	if s.database == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.maintain(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{s.database}.Sanitize()+" WITH (FORCE)")
}

func disconnect(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is left to lose
}
