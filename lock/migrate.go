package lock

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
	// Schema is the schema to create or to bring up to date, usually that of the bus. Defaults to DefaultSchema.
	Schema string

	// AppRole, if not empty, is granted what a process with a Locker, or with guarded transactions, needs.
	AppRole string

	// ReaderRole, if not empty, is granted what a dashboard needs: to read the owners of leases.
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

// Migrate brings the tables up to date. It runs one transaction per version under an advisory lock, so several
// processes may call it at once. It needs the right to create a schema in the database, or to create tables in the
// schema if that exists. It does not change tables that are newer than this code. A nil cfg uses the defaults. Run
// never migrates.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	return migrations().Run(ctx, pool, (*migrate.Config)(cfg))
}

// MigrationSQL returns all tables as SQL text, for other migration tools. The text is for a schema without them. For
// a schema that has them, set MigrateConfig.After, or use Migrate with DryRun.
func MigrationSQL(cfg *MigrateConfig) (string, error) {
	return migrations().SQL((*migrate.Config)(cfg))
}

func migrations() migrate.Component {
	return migrate.Component{
		Name: "lock", Files: migrationFiles, DefaultSchema: DefaultSchema, AppGrants: appGrants, ReaderGrants: readerGrants,
		ErrConfig: ErrConfig, ErrSchema: ErrSchema,
	}
}

// The least that the two roles need. A row lock, such as a guard's, needs the right to update.
const (
	appGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.lease, /*schema*/pgcoherence.lease_waiter,
    /*schema*/pgcoherence.lease_share TO %[1]s;
GRANT SELECT, UPDATE ON /*schema*/pgcoherence.incarnation TO %[1]s;
GRANT USAGE, SELECT, UPDATE ON SEQUENCE /*schema*/pgcoherence.lease_token TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.migration TO %[1]s;
GRANT EXECUTE ON FUNCTION /*schema*/pgcoherence.raise_incarnation, /*schema*/pgcoherence.lease_minutes,
    /*schema*/pgcoherence.incarnation_here,
    /*schema*/pgcoherence.queue_head, /*schema*/pgcoherence.first_waiter, /*schema*/pgcoherence.newest_head,
    /*schema*/pgcoherence.next_waiter, /*schema*/pgcoherence.is_queued, /*schema*/pgcoherence.may_take,
    /*schema*/pgcoherence.leave_queue, /*schema*/pgcoherence.leave_queues, /*schema*/pgcoherence.tell_heir,
    /*schema*/pgcoherence.lease_try, /*schema*/pgcoherence.lease_claim, /*schema*/pgcoherence.lease_enqueue,
    /*schema*/pgcoherence.lease_give, /*schema*/pgcoherence.lease_acquire, /*schema*/pgcoherence.lease_leave,
    /*schema*/pgcoherence.lease_renew, /*schema*/pgcoherence.lease_release, /*schema*/pgcoherence.lease_guard,
    /*schema*/pgcoherence.lease_check, /*schema*/pgcoherence.lease_reap, /*schema*/pgcoherence.lease_acquire_shared,
    /*schema*/pgcoherence.semaphore_acquire, /*schema*/pgcoherence.semaphore_resize, /*schema*/pgcoherence.share_acquire,
    /*schema*/pgcoherence.share_try, /*schema*/pgcoherence.share_give, /*schema*/pgcoherence.share_resize,
    /*schema*/pgcoherence.share_room_at, /*schema*/pgcoherence.share_end, /*schema*/pgcoherence.share_settle,
    /*schema*/pgcoherence.share_hand_on TO %[1]s;`

	readerGrants = `
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.lease, /*schema*/pgcoherence.lease_waiter, /*schema*/pgcoherence.lease_share,
    /*schema*/pgcoherence.incarnation, /*schema*/pgcoherence.migration TO %[1]s;`
)
