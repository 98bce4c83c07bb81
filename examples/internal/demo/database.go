package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// Quiet returns a logger that discards everything, for what a story prints itself or need not print.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Database is the database of a story, with the parent's pool. Each child has a pool of its own.
type Database struct {
	Server *pgtest.Server
	DSN    string
	Pool   *pgxpool.Pool

	name string
}

// OpenDatabase creates a database named after the story on a server. Closing the Database closes the server; so does an
// error of OpenDatabase. tune changes the config of the parent's pool; it may be nil.
func OpenDatabase(ctx context.Context, server *pgtest.Server, story string, tune func(*pgxpool.Config)) (*Database, error) {
	d := &Database{Server: server, name: "pgcoherence_" + story + "_" + strings.ToLower(rand.Text()[:10])}
	d.DSN = server.DSN(d.name)
	if err := d.make(ctx, tune); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Database) make(ctx context.Context, tune func(*pgxpool.Config)) error {
	if err := d.admin(ctx, "CREATE DATABASE "+pgx.Identifier{d.name}.Sanitize()); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	config, err := pgxpool.ParseConfig(d.DSN)
	if err != nil {
		return err
	}
	if tune != nil {
		tune(config)
	}
	d.Pool, err = pgxpool.NewWithConfig(ctx, config)
	return err
}

// Version returns the server's version, such as 17.2.
func (d *Database) Version() string {
	v := d.Server.Version()
	return fmt.Sprintf("%d.%d", v/10000, v%10000)
}

// admin runs a statement on the maintenance database.
func (d *Database) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, d.Server.DSN(""))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// Close closes the pool, drops the database, and closes the server.
func (d *Database) Close() error {
	if d.Pool != nil {
		d.Pool.Close()
	}
	var err error
	if d.Server.Kind() == pgtest.KindDSN { // other servers are removed completely
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = d.admin(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{d.name}.Sanitize()+" WITH (FORCE)")
	}
	return errors.Join(err, d.Server.Close())
}
