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
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

//go:embed user.sql
var userSQL string

// quiet is for what the story says itself, or need not say.
var quiet = slog.New(slog.DiscardHandler)

// database is the Postgres of the story, with the parent's own connections to it. The pods have theirs.
type database struct {
	server *pgtest.Server
	name   string
	dsn    string
	pool   *pgxpool.Pool
}

// openDatabase finds or starts a server, and makes a database with our schemas and the application's.
func openDatabase(ctx context.Context) (*database, error) {
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	d := &database{server: server, name: "pgcoherence_login_" + strings.ToLower(rand.Text()[:10])}
	d.dsn = server.DSN(d.name)
	if err := d.fill(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) fill(ctx context.Context) error {
	if err := d.admin(ctx, "CREATE DATABASE "+pgx.Identifier{d.name}.Sanitize()); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	var err error
	if d.pool, err = pgxpool.New(ctx, d.dsn); err != nil {
		return err
	}
	if err := bus.Migrate(ctx, d.pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	if err := sessionstore.Migrate(ctx, d.pool, &sessionstore.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	if _, err := d.pool.Exec(ctx, userSQL); err != nil {
		return fmt.Errorf("create tables: %w", err)
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
