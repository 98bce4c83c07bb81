package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/pgtest"
)

//go:embed account.sql
var accountSQL string

// database is the Postgres of the story, with the parent's own connections to it. The pods have theirs.
type database struct {
	server   *pgtest.Server
	name     string
	dsn      string
	pool     *pgxpool.Pool
	noCrash  string // why this server cannot be crashed; empty: it can
	ownedDSN bool   // the password in the DSN is a random one of ours, fit to be shown
}

// openDatabase finds or starts a server, and makes a database with both schemas: that of the bus and the application's.
func openDatabase(ctx context.Context) (*database, error) {
	d := &database{name: "pgcoherence_pods_" + strings.ToLower(rand.Text()[:10])}
	if err := d.startServer(ctx); err != nil {
		return nil, err
	}
	d.dsn = d.server.DSN(d.name)
	d.ownedDSN = d.server.Kind() != pgtest.KindDSN
	if err := d.fill(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// startServer prefers a server that may be crashed, and takes any other if there is none.
func (d *database) startServer(ctx context.Context) (err error) {
	quiet := slog.New(slog.DiscardHandler) // the story says itself which server it is
	d.server, err = pgtest.Start(ctx, &pgtest.Config{Crashable: true, Logger: quiet})
	if !errors.Is(err, pgtest.ErrUnsupported) && !errors.Is(err, pgtest.ErrUnavailable) {
		return err
	}
	d.noCrash = strings.Join(strings.Fields(err.Error()), " ")
	d.server, err = pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	return err
}

func (d *database) fill(ctx context.Context) error {
	if err := d.admin(ctx, "CREATE DATABASE "+pgx.Identifier{d.name}.Sanitize()); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	config, err := pgxpool.ParseConfig(d.dsn)
	if err != nil {
		return err
	}
	config.MaxConns = 4
	config.ConnConfig.ConnectTimeout = time.Second
	if d.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if err := bus.Migrate(ctx, d.pool, &bus.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	if _, err := d.pool.Exec(ctx, accountSQL); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	if _, err := d.pool.Exec(ctx, "INSERT INTO account (id, balance) SELECT unnest($1::text[]), 100", accountIDs); err != nil {
		return fmt.Errorf("fill table: %w", err)
	}
	return nil
}

// admin runs a statement on the maintenance database.
func (d *database) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, d.server.DSN(""))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// close removes everything, whatever became of the story.
func (d *database) close() error {
	if d.pool != nil {
		d.pool.Close()
	}
	var err error
	if d.server.Kind() == pgtest.KindDSN { // other servers go as a whole
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = d.admin(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{d.name}.Sanitize()+" WITH (FORCE)")
	}
	return errors.Join(err, d.server.Close())
}

// crash kills all processes of the server.
func (d *database) crash(ctx context.Context) error { return d.server.Crash(ctx) }

// restart starts the server again, and forgets the parent's own connections, which are all broken.
func (d *database) restart(ctx context.Context) error {
	err := d.server.Start(ctx)
	d.pool.Reset()
	return err
}

// trigger switches the trigger on that tells the pods of everybody's writes, or off.
func (d *database) trigger(ctx context.Context, on bool) error {
	what := "DISABLE"
	if on {
		what = "ENABLE"
	}
	_, err := d.pool.Exec(ctx, "ALTER TABLE account "+what+" TRIGGER account_changed")
	return err
}

// version is the last committed version of an account: the truth.
func (d *database) version(ctx context.Context, id string) (int64, error) {
	a, err := selectAccount(ctx, d.pool, id)
	return a.Version, err
}

// endListener terminates the backend on which a pod listens.
func (d *database) endListener(ctx context.Context, pod string) error {
	tag, err := d.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1`, "pgcoherence listen "+pod)
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("pod %s has %d listening backends, want 1", pod, tag.RowsAffected())
	}
	return err
}
