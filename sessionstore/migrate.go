package sessionstore

import (
	"context"
	"embed"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

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

	// After leaves the versions up to and including this one out of MigrationSQL, for a tool that has run them: the new
	// versions of a release then become its next migration. Defaults to 0, all versions. Migrate ignores it.
	After int

	// NoTransaction leaves BEGIN and COMMIT out of what DryRun and MigrationSQL write, for tools that run a migration in
	// a transaction of their own: goose, golang-migrate, tern, psql -1. All of it has to run in one transaction. Defaults
	// to false: the text begins and commits a transaction.
	NoTransaction bool
}

// Migrate brings the tables up to date: one transaction per version under an advisory lock, so several pods may call it
// at once. It needs the right to create tables in the schema, or to create the schema. The bus has a Migrate of its own.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	return migrations().Run(ctx, pool, (*migrate.Config)(cfg))
}

// MigrationSQL is the whole schema as one SQL text, for people who run migrations with a tool of their own. It is for
// a database without these tables; DryRun gives the rest for one that is behind.
func MigrationSQL(cfg *MigrateConfig) (string, error) {
	return migrations().SQL((*migrate.Config)(cfg))
}

func migrations() migrate.Component {
	return migrate.Component{
		Name: "sessionstore", Files: migrationFiles, DefaultSchema: bus.DefaultSchema, AppGrants: appGrants, ReaderGrants: readerGrants,
		ErrConfig: ErrConfig, ErrSchema: ErrSchema,
	}
}

const appGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.session, /*schema*/pgcoherence.session_logout,
    /*schema*/pgcoherence.one_time TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.session_user TO %[1]s;
GRANT SELECT, DELETE ON /*schema*/pgcoherence.session_forgotten TO %[1]s;
GRANT SELECT, UPDATE ON /*schema*/pgcoherence.session_state, /*schema*/pgcoherence.session_sweep TO %[1]s;
GRANT EXECUTE ON FUNCTION /*schema*/pgcoherence.next_generation(), /*schema*/pgcoherence.session_enter(text, bigint) TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.migration TO %[1]s;`

const readerGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT (id, user_id, gen, version, idle, created_at, authenticated_at, rotated_at, expires_at, last_seen, revoked_at, revoke_reason,
    issuer, sid, device, last_address, revoked_by) ON /*schema*/pgcoherence.session TO %[1]s;
GRANT SELECT (user_id, gen, ended_at, ended_by) ON /*schema*/pgcoherence.session_user TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.migration TO %[1]s;`
