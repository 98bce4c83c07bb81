package main

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// migration is the migrations of one component, by functions of the same shape.
type migration struct {
	name string
	run  func(context.Context, *pgxpool.Pool, migrationOptions) error
	sql  func(migrationOptions) (string, error)
}

type migrationOptions struct {
	schema, appRole, readerRole string
	after                       int
	noTransaction               bool
	dryRun                      io.Writer
	logger                      *slog.Logger
}

var migrations = []migration{
	{
		"bus",
		func(ctx context.Context, pool *pgxpool.Pool, o migrationOptions) error {
			return bus.Migrate(ctx, pool, o.bus())
		},
		func(o migrationOptions) (string, error) { return bus.MigrationSQL(o.bus()) },
	},
	{
		"lock",
		func(ctx context.Context, pool *pgxpool.Pool, o migrationOptions) error {
			return lock.Migrate(ctx, pool, (*lock.MigrateConfig)(o.bus()))
		},
		func(o migrationOptions) (string, error) { return lock.MigrationSQL((*lock.MigrateConfig)(o.bus())) },
	},
	{
		"sessionstore",
		func(ctx context.Context, pool *pgxpool.Pool, o migrationOptions) error {
			return sessionstore.Migrate(ctx, pool, (*sessionstore.MigrateConfig)(o.bus()))
		},
		func(o migrationOptions) (string, error) {
			return sessionstore.MigrationSQL((*sessionstore.MigrateConfig)(o.bus()))
		},
	},
}

func (o migrationOptions) bus() *bus.MigrateConfig {
	return &bus.MigrateConfig{
		Schema: o.schema, AppRole: o.appRole, ReaderRole: o.readerRole, DryRun: o.dryRun, Logger: o.logger,
		After: o.after, NoTransaction: o.noTransaction,
	}
}

func (a *app) migrateCommand() *cobra.Command {
	var o migrationOptions
	var components []string
	var dryRun, sql bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the tables up to date",
		Long: `Bring the tables up to date: one transaction per version, under a lock, so that several can run at once.

Run it before a new version of the application starts; the previous version works with the new tables.
--dry-run shows what would be run against this database; --sql writes all of it, for a migration tool, and needs none.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd)
			defer cancel()
			chosen, err := choose(components)
			if err != nil {
				return err
			}
			if dryRun && sql {
				return usageError("migrate: --dry-run and --sql exclude each other")
			}
			o.schema, o.logger = a.schema, a.migrationLogger()

			if sql {
				for _, m := range chosen {
					text, err := m.sql(o)
					if err != nil {
						return err
					}
					a.printf("%s", text)
				}
				return nil
			}
			return a.withPool(ctx, func(pool *pgxpool.Pool) error { return a.migrate(ctx, pool, chosen, o, dryRun) })
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&components, "components", []string{"bus"}, "what is in use: bus, lock, sessionstore")
	flags.StringVar(&o.appRole, "app-role", "", "role of the application, granted what it needs")
	flags.StringVar(&o.readerRole, "reader-role", "", "role of a dashboard, granted what it needs")
	flags.BoolVar(&dryRun, "dry-run", false, "write the SQL that would be run, and run nothing")
	flags.BoolVar(&sql, "sql", false, "write the SQL of all versions")
	flags.IntVar(&o.after, "after", 0, "with --sql: leave out the versions up to this one")
	flags.BoolVar(&o.noTransaction, "no-transaction", false, "leave out BEGIN and COMMIT, for tools that write them")
	return cmd
}

func (a *app) migrate(ctx context.Context, pool *pgxpool.Pool, chosen []migration, o migrationOptions, dryRun bool) error {
	type result struct {
		Component string `json:"component"`
		SQL       string `json:"sql"` // what was pending
	}

	var results []result
	for _, m := range chosen {
		var pending strings.Builder
		dry := o
		dry.dryRun, dry.logger = &pending, slog.New(slog.DiscardHandler)
		if err := m.run(ctx, pool, dry); err != nil {
			return err
		}

		results = append(results, result{m.name, pending.String()})

		switch {
		case dryRun && !a.json:
			a.printf("%s", pending.String())
		case !dryRun:
			if err := m.run(ctx, pool, o); err != nil {
				return err
			}
			if !a.json {
				a.printf("%s: up to date\n", m.name)
			}
		}
	}

	if a.json {
		return a.printJSON(map[string]any{"dry_run": dryRun, "components": results})
	}

	return nil
}

func choose(names []string) (chosen []migration, err error) {
	for _, name := range names {
		found := false
		for _, m := range migrations {
			if m.name == name {
				chosen, found = append(chosen, m), true
			}
		}
		if !found {
			return nil, usageError("--components: %q is none of bus, lock, sessionstore", name)
		}
	}
	return chosen, nil
}

// migrationLogger says which versions were applied, since that is what people wait for.
func (a *app) migrationLogger() *slog.Logger {
	if a.json {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.errOut, nil))
}
