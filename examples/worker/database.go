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
	"github.com/pgcoherence/pgcoherence/lock"
)

//go:embed job.sql
var jobSQL string

const (
	shards  = 6
	supply  = 2000 // jobs of a shard: more than anybody does here
	keyText = "shard "
)

// quiet is for what the story says itself, or need not say.
var quiet = slog.New(slog.DiscardHandler)

// database is the Postgres of the story, with the parent's own connections to it. The workers have theirs.
type database struct {
	server *pgtest.Server
	name   string
	dsn    string
	pool   *pgxpool.Pool
	leases *lock.Locker // only to look
}

// openDatabase finds or starts a server, and makes a database with our schemas and the application's.
func openDatabase(ctx context.Context) (*database, error) {
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	d := &database{server: server, name: "pgcoherence_worker_" + strings.ToLower(rand.Text()[:10])}
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
	if err := lock.Migrate(ctx, d.pool, &lock.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	if _, err := d.pool.Exec(ctx, jobSQL); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	d.leases, err = lock.New(nil, d.pool, &lock.Config{Logger: quiet})
	return err
}

// anew puts all jobs back to undone.
func (d *database) anew(ctx context.Context) error {
	if _, err := d.pool.Exec(ctx, "TRUNCATE job, refusal"); err != nil {
		return err
	}
	_, err := d.pool.Exec(ctx, "INSERT INTO job (shard, id) SELECT s, i FROM generate_series(0, $1::int - 1) AS s, generate_series(1, $2::int) AS i",
		shards, supply)
	return err
}

// owners are who owns which shard, by what the database says.
func (d *database) owners(ctx context.Context) (map[int]lock.Info, error) {
	infos, err := d.leases.List(ctx, keyText, "", shards)
	if err != nil {
		return nil, err
	}
	owners := map[int]lock.Info{}
	for _, info := range infos {
		var shard int
		if _, err := fmt.Sscanf(info.Key, keyText+"%d", &shard); err != nil {
			return nil, fmt.Errorf("lease %q: %w", info.Key, err)
		}
		owners[shard] = info
	}
	return owners, nil
}

// writtenAfter says whether somebody has written a job of a shard under a younger lease.
func (d *database) writtenAfter(ctx context.Context, shard int, token int64) (written bool, err error) {
	err = d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM job WHERE shard = $1 AND $2 < ANY (tokens))", shard, token).Scan(&written)
	return written, err
}

// outcome counts the jobs that two owners have written, and the writes that were refused.
func (d *database) outcome(ctx context.Context) (twice, refused int, err error) {
	err = d.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM job WHERE cardinality(tokens) > 1), (SELECT count(*) FROM refusal)`).Scan(&twice, &refused)
	return twice, refused, err
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
