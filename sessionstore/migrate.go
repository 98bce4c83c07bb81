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

// MigrateConfig configures [Migrate]. A nil or zero MigrateConfig uses the defaults.
type MigrateConfig struct {
	// Schema is the schema to create or to bring up to date, that of the bus. Defaults to bus.DefaultSchema.
	Schema string

	// AppRole, if not empty, is granted what a pod needs and nothing more: to read and write sessions.
	AppRole string

	// ReaderRole, if not empty, is granted what an audit needs: to read which users have sessions since when, but
	// neither the hashes of tokens nor the data.
	ReaderRole string

	// DryRun, if not nil, receives the SQL, and nothing is executed.
	DryRun io.Writer

	// Logger receives one line for each applied version. Defaults to slog.Default().
	Logger *slog.Logger

	// After omits all versions up to and including this one from MigrationSQL, for a tool that has already run them:
	// the new versions of a release become its next migration. Defaults to 0, which omits none. Migrate ignores it.
	After int

	// NoTransaction omits BEGIN and COMMIT from the output of DryRun and MigrationSQL, for tools that run a migration
	// in a transaction of their own: goose, golang-migrate, tern, psql -1. All of the text has to run in one
	// transaction. Defaults to false: the text begins and commits a transaction.
	NoTransaction bool
}

// Migrate brings the tables up to date. It runs one transaction per version under an advisory lock, so several pods
// may call it at once. It needs the right to create tables in the schema, or to create the schema. A nil cfg uses the
// defaults. The bus has a Migrate of its own.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	return migrations().Run(ctx, pool, (*migrate.Config)(cfg))
}

// MigrationSQL returns the complete schema as SQL text, for other migration tools. The text is for a database without
// these tables. For a database that has them, set MigrateConfig.After, or use Migrate with DryRun.
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
