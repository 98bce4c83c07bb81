package bus

import (
	"context"
	"embed"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

// MigrateConfig is how Migrate works; nil is a good one.
type MigrateConfig struct {
	// Schema to make or bring up to date. Defaults to DefaultSchema.
	Schema string

	// AppRole, if not empty, is granted what a pod needs: to read and write the log, nothing more.
	AppRole string

	// ReaderRole, if not empty, is granted what a dashboard needs: to read the pods, not the log and not the secret.
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

// Migrate brings the schema up to date: one transaction per version under an advisory lock, so several pods may call it
// at once. It needs the right to create a schema in the database, or to create tables in a schema that is there. A
// newer schema is left as it is. Nothing migrates at run time.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	return migrations().Run(ctx, pool, (*migrate.Config)(cfg))
}

// MigrationSQL is the whole schema as one SQL text, for people who run migrations with a tool of their own. It is for
// an empty schema; DryRun gives the rest for one that is behind.
func MigrationSQL(cfg *MigrateConfig) (string, error) {
	return migrations().SQL((*migrate.Config)(cfg))
}

func migrations() migrate.Component {
	return migrate.Component{
		Name: "bus", Files: migrationFiles, DefaultSchema: DefaultSchema, AppGrants: appGrants, ReaderGrants: readerGrants,
		ErrConfig: ErrConfig, ErrSchema: ErrSchema,
	}
}

// The least that the two roles need.
const (
	appGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT, INSERT, DELETE ON /*schema*/pgcoherence.event TO %[1]s;
GRANT SELECT, INSERT, UPDATE ON /*schema*/pgcoherence.epoch TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.pod TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.setting, /*schema*/pgcoherence.pod_departure, /*schema*/pgcoherence.migration TO %[1]s;
GRANT SELECT, INSERT, DELETE ON /*schema*/pgcoherence.pod_question, /*schema*/pgcoherence.pod_reply TO %[1]s;
GRANT EXECUTE ON FUNCTION /*schema*/pgcoherence.identity(), /*schema*/pgcoherence.server_id(),
    /*schema*/pgcoherence.database_id(), /*schema*/pgcoherence.is_foreign(), /*schema*/pgcoherence.begin_epoch(),
    /*schema*/pgcoherence.pod_lease_ms(), /*schema*/pgcoherence.stage(text, text[], boolean),
    /*schema*/pgcoherence.invalidate(text, text[]), /*schema*/pgcoherence.invalidate_all(text) TO %[1]s;`

	readerGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.pod, /*schema*/pgcoherence.pod_departure, /*schema*/pgcoherence.setting,
    /*schema*/pgcoherence.migration TO %[1]s;`
)
