package sessionstore

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

func migrations() migrate.Set {
	files, _ := fs.Sub(migrationFiles, "migration") // the directory is embedded above
	return migrate.Set{Component: "sessionstore", Files: files}
}

// MigrateConfig is how Migrate works; nil is a good one.
type MigrateConfig struct {
	// Schema to make or bring up to date, the bus' own. Defaults to bus.DefaultSchema.
	Schema string

	// AppRole, if not empty, is granted what a pod needs: to read and write sessions, nothing more.
	AppRole string

	// ReaderRole, if not empty, is granted what an audit needs: who has sessions since when, not the hashes of tokens and
	// not the data.
	ReaderRole string

	// DryRun, if not nil, takes the SQL that would be run, and nothing is run.
	DryRun io.Writer

	// Logger takes one line for each version applied. Defaults to slog.Default().
	Logger *slog.Logger
}

// Migrate brings the tables up to date: one transaction per version under an advisory lock, so several pods may call it
// at once. It needs the right to create tables in the schema, or to create the schema. The bus has a Migrate of its own.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	job, err := cfg.job()
	if err != nil {
		return err
	}
	if err := job.Run(ctx, pool); err != nil {
		return fmt.Errorf("sessionstore: %w", err)
	}
	return nil
}

// MigrationSQL is the whole schema as one SQL text, for people who run migrations with a tool of their own. It is for
// a database without these tables; DryRun gives the rest for one that is behind.
func MigrationSQL(cfg *MigrateConfig) (string, error) {
	job, err := cfg.job()
	if err != nil {
		return "", err
	}
	script, err := job.SQL()
	if err != nil {
		return "", fmt.Errorf("sessionstore: %w", err)
	}
	return script, nil
}

func (c *MigrateConfig) job() (migrate.Job, error) {
	var d MigrateConfig
	if c != nil {
		d = *c
	}
	job := migrate.Job{
		Set: migrations(), Schema: cmp.Or(d.Schema, bus.DefaultSchema), DryRun: d.DryRun, Logger: d.Logger,
		Grants: []migrate.Grant{{Field: "AppRole", Role: d.AppRole, SQL: appGrants}, {Field: "ReaderRole", Role: d.ReaderRole, SQL: readerGrants}},
	}
	if err := job.Check(); err != nil {
		return job, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return job, nil
}

const appGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.session, /*schema*/pgcoherence.session_logout,
    /*schema*/pgcoherence.one_time TO %[1]s;
GRANT SELECT, INSERT, UPDATE ON /*schema*/pgcoherence.session_user TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.migration TO %[1]s;`

const readerGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT (id, user_id, gen, version, idle, created_at, authenticated_at, rotated_at, expires_at, last_seen, revoked_at, revoke_reason,
    issuer, sid, device) ON /*schema*/pgcoherence.session TO %[1]s;
GRANT SELECT (user_id, gen, ended_at) ON /*schema*/pgcoherence.session_user TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.migration TO %[1]s;`
