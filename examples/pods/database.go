package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

//go:embed account.sql
var accountSQL string

// database is the database of the story, with the parent's pool. Each pod has a pool of its own.
type database struct {
	*demo.Database
	noCrash  string // why this server cannot be crashed; empty if it can
	ownedDSN bool   // the DSN's password is a random one, made for this run, and may be printed
}

// openDatabase finds or starts a server, and creates a database with the tables of the bus and of the application.
func openDatabase(ctx context.Context) (*database, error) {
	server, noCrash, err := startServer(ctx)
	if err != nil {
		return nil, err
	}

	d := &database{noCrash: noCrash, ownedDSN: server.Kind() != pgtest.KindDSN}
	d.Database, err = demo.OpenDatabase(ctx, server, "pods", func(config *pgxpool.Config) {
		config.MaxConns = 4
		config.ConnConfig.ConnectTimeout = time.Second
	})
	if err != nil {
		return nil, err
	}
	if err := d.fill(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}

	return d, nil
}

// startServer returns a crashable server, or else any other server with the reason why it cannot be crashed.
func startServer(ctx context.Context) (server *pgtest.Server, noCrash string, err error) {
	quiet := demo.Quiet() // the story prints which server it is
	server, err = pgtest.Start(ctx, &pgtest.Config{Crashable: true, Logger: quiet})
	if !errors.Is(err, pgtest.ErrUnsupported) && !errors.Is(err, pgtest.ErrUnavailable) {
		return server, "", err
	}
	noCrash = strings.Join(strings.Fields(err.Error()), " ")
	server, err = pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	return server, noCrash, err
}

func (d *database) fill(ctx context.Context) error {
	if err := bus.Migrate(ctx, d.Pool, &bus.MigrateConfig{Logger: demo.Quiet()}); err != nil {
		return err
	}
	if _, err := d.Pool.Exec(ctx, accountSQL); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	if _, err := d.Pool.Exec(ctx, "INSERT INTO account (id, balance) SELECT unnest($1::text[]), 100", accountIDs); err != nil {
		return fmt.Errorf("fill table: %w", err)
	}
	return nil
}

// crash kills all processes of the server.
func (d *database) crash(ctx context.Context) error { return d.Server.Crash(ctx) }

// restart starts the server again and closes the parent's connections, which are all broken.
func (d *database) restart(ctx context.Context) error {
	err := d.Server.Start(ctx)
	d.Pool.Reset()
	return err
}

// trigger enables or disables the trigger that publishes events for all writers.
func (d *database) trigger(ctx context.Context, on bool) error {
	what := "DISABLE"
	if on {
		what = "ENABLE"
	}
	_, err := d.Pool.Exec(ctx, "ALTER TABLE account "+what+" TRIGGER account_changed")
	return err
}

// version reads the last committed version of an account.
func (d *database) version(ctx context.Context, id string) (int64, error) {
	a, err := selectAccount(ctx, d.Pool, id)
	return a.Version, err
}

// endListener terminates the backend on which a pod listens.
func (d *database) endListener(ctx context.Context, pod string) error {
	tag, err := d.Pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1`, "pgcoherence listen "+pod)
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("pod %s has %d listening backends, want 1", pod, tag.RowsAffected())
	}
	return err
}
