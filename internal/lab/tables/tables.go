// Package tables creates the tables of all components, for tests that need more than one component.
package tables

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Make creates the tables of bus, lock and sessionstore without logging.
func Make(ctx context.Context, pool *pgxpool.Pool) error {
	quiet := slog.New(slog.DiscardHandler)
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}

	return sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet})
}

// Template returns a template with these tables.
func Template(name string) *pgtest.Template {
	return &pgtest.Template{Name: name, Make: func(ctx context.Context, dsn string) error {
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		defer pool.Close()

		return Make(ctx, pool)
	}}
}
