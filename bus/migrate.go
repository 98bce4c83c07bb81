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

// MigrateConfig configures [Migrate]. A nil or zero MigrateConfig uses the defaults.
type MigrateConfig struct {
	// Schema is the schema to create or to bring up to date. Defaults to DefaultSchema.
	Schema string

	// AppRole, if not empty, is granted what a pod needs and nothing more: to read and write the log.
	AppRole string

	// ReaderRole, if not empty, is granted what a dashboard needs: to read the list of pods, but neither the log nor
	// the secret.
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

// Migrate brings the schema up to date. It runs one transaction per version under an advisory lock, so several pods
// may call it at once. It needs the right to create a schema in the database, or to create tables in the schema if
// that exists. It does not change a schema that is newer than this code. A nil cfg uses the defaults. Run never
// migrates.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	return migrations().Run(ctx, pool, (*migrate.Config)(cfg))
}

// MigrationSQL returns the complete schema as SQL text, for other migration tools. The text is for an empty schema.
// For a schema that exists, set MigrateConfig.After, or use Migrate with DryRun.
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
