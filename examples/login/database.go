package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

//go:embed user.sql
var userSQL string

// openDatabase finds or starts a server, and makes a database with our schemas and the application's.
func openDatabase(ctx context.Context) (*demo.Database, error) {
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: demo.Quiet()})
	if err != nil {
		return nil, err
	}
	db, err := demo.OpenDatabase(ctx, server, "login", nil)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, db.Pool); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func fill(ctx context.Context, pool *pgxpool.Pool) error {
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: demo.Quiet()}); err != nil {
		return err
	}
	if err := sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: demo.Quiet()}); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, userSQL); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	return nil
}
