package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1) //nolint:gocritic // exitAfterDefer: stop is not needed any more
	}
}

func run(ctx context.Context) (err error) {
	quiet := slog.New(slog.DiscardHandler)
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := makeTemplate(ctx, server, quiet); err != nil {
		return err
	}

	var failed []error
	for _, s := range suites {
		if err := s.run(ctx, server.DSN("postgres")); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.module, err))
		}
	}
	return errors.Join(failed...)
}

// makeTemplate creates the database that is cloned for each store: the suites expect every store to be empty at first.
func makeTemplate(ctx context.Context, server *pgtest.Server, logger *slog.Logger) error {
	admin, err := pgxpool.New(ctx, server.DSN("postgres"))
	if err != nil {
		return err
	}
	defer admin.Close()
	if _, err := admin.Exec(ctx, "CREATE DATABASE suite"); err != nil {
		return err
	}

	pool, err := pgxpool.New(ctx, server.DSN("suite"))
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: logger}); err != nil {
		return err
	}
	return sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: logger})
}
