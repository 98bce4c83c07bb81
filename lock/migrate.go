package lock

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

func migrations() migrate.Set {
	files, _ := fs.Sub(migrationFiles, "migration") // the directory is embedded above
	return migrate.Set{Component: "lock", Files: files}
}

// MigrateConfig is how Migrate works; nil is a good one.
type MigrateConfig struct {
	// Schema to make or bring up to date; it can be, and by default is, the bus'. Defaults to DefaultSchema.
	Schema string

	// AppRole, if not empty, is granted what a process with a Locker needs, and whoever guards transactions.
	AppRole string

	// ReaderRole, if not empty, is granted what a dashboard needs: to read who has what.
	ReaderRole string

	// DryRun, if not nil, takes the SQL that would be run, and nothing is run.
	DryRun io.Writer

	// Logger takes one line for each version applied. Defaults to slog.Default().
	Logger *slog.Logger
}

// Migrate brings the tables up to date: one transaction per version under an advisory lock, so several processes may
// call it at once. It needs the right to create a schema in the database, or to create tables in a schema that is there.
// Newer tables are left as they are. Nothing migrates at run time.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	job, err := cfg.job()
	if err != nil {
		return err
	}
	if err := job.Run(ctx, pool); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// MigrationSQL is all tables as one SQL text, for people who run migrations with a tool of their own. It is for a schema
// without them; DryRun gives the rest for one that is behind.
func MigrationSQL(cfg *MigrateConfig) (string, error) {
	job, err := cfg.job()
	if err != nil {
		return "", err
	}
	script, err := job.SQL()
	if err != nil {
		return "", fmt.Errorf("lock: %w", err)
	}
	return script, nil
}

func (c *MigrateConfig) job() (migrate.Job, error) {
	var d MigrateConfig
	if c != nil {
		d = *c
	}
	job := migrate.Job{
		Set: migrations(), Schema: cmp.Or(d.Schema, DefaultSchema), DryRun: d.DryRun, Logger: d.Logger,
		Grants: []migrate.Grant{{Field: "AppRole", Role: d.AppRole, SQL: appGrants}, {Field: "ReaderRole", Role: d.ReaderRole, SQL: readerGrants}},
	}
	if err := job.Check(); err != nil {
		return job, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return job, nil
}

// The least that the two roles need. A row lock, such as a guard's, needs the right to update.
const (
	appGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.lease, /*schema*/pgcoherence.lease_waiter TO %[1]s;
GRANT SELECT, UPDATE ON /*schema*/pgcoherence.incarnation TO %[1]s;
GRANT USAGE, SELECT, UPDATE ON SEQUENCE /*schema*/pgcoherence.lease_token TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.migration TO %[1]s;`

	readerGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.lease, /*schema*/pgcoherence.lease_waiter, /*schema*/pgcoherence.incarnation,
    /*schema*/pgcoherence.migration TO %[1]s;`
)
