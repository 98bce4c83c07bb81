package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

//go:embed job.sql
var jobSQL string

const (
	shards  = 6
	supply  = 2000 // jobs of a shard: more than anybody does here
	keyText = "shard "
)

// database is the Postgres of the story, with the parent's own connections to it. The workers have theirs.
type database struct {
	*demo.Database

	leases *lock.Locker // only to look
}

// openDatabase finds or starts a server, and makes a database with our schemas and the application's.
func openDatabase(ctx context.Context) (*database, error) {
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: demo.Quiet()})
	if err != nil {
		return nil, err
	}
	db, err := demo.OpenDatabase(ctx, server, "worker", nil)
	if err != nil {
		return nil, err
	}
	d := &database{Database: db}
	if err := d.fill(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *database) fill(ctx context.Context) (err error) {
	if err := bus.Migrate(ctx, d.Pool, &bus.MigrateConfig{Logger: demo.Quiet()}); err != nil {
		return err
	}
	if err := lock.Migrate(ctx, d.Pool, &lock.MigrateConfig{Logger: demo.Quiet()}); err != nil {
		return err
	}
	if _, err := d.Pool.Exec(ctx, jobSQL); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	d.leases, err = lock.New(nil, d.Pool, &lock.Config{Logger: demo.Quiet()})
	return err
}

// anew puts all jobs back to undone.
func (d *database) anew(ctx context.Context) error {
	if _, err := d.Pool.Exec(ctx, "TRUNCATE job, refusal"); err != nil {
		return err
	}
	_, err := d.Pool.Exec(ctx, "INSERT INTO job (shard, id) SELECT s, i FROM generate_series(0, $1::int - 1) AS s, generate_series(1, $2::int) AS i",
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

// writtenAfter reports whether a job of a shard was written under a younger lease.
func (d *database) writtenAfter(ctx context.Context, shard int, token int64) (written bool, err error) {
	err = d.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM job WHERE shard = $1 AND $2 < ANY (tokens))", shard, token).Scan(&written)
	return written, err
}

// outcome counts the jobs that two owners have written, and the writes that were refused.
func (d *database) outcome(ctx context.Context) (twice, refused int, err error) {
	err = d.Pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM job WHERE cardinality(tokens) > 1), (SELECT count(*) FROM refusal)`).Scan(&twice, &refused)
	return twice, refused, err
}
