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

// Quiet is a logger for what a story says itself, or need not say.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Database is the Postgres of a story, with the parent's own connections to it. The children have theirs.
type Database struct {
	Server *pgtest.Server
	DSN    string
	Pool   *pgxpool.Pool

	name string
}

// OpenDatabase makes a database named after the story on a server, which is closed with it, and also when that fails. A
// nil tune leaves the parent's pool as pgx has it.
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

// Version is the server's version as people write it, such as 17.2.
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

// Close removes everything, whatever became of the story.
func (d *Database) Close() error {
	if d.Pool != nil {
		d.Pool.Close()
	}
	var err error
	if d.Server.Kind() == pgtest.KindDSN { // other servers go as a whole
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = d.admin(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{d.name}.Sanitize()+" WITH (FORCE)")
	}
	return errors.Join(err, d.Server.Close())
}
