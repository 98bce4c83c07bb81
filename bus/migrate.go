package bus

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

func migrations() migrate.Set {
	files, _ := fs.Sub(migrationFiles, "migration") // the directory is embedded above
	return migrate.Set{Component: "bus", Files: files}
}

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
}

// Migrate brings the schema up to date: one transaction per version under an advisory lock, so several pods may call it
// at once. It needs the right to create a schema in the database, or to create tables in a schema that is there. A
// newer schema is left as it is. Nothing migrates at run time.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	var c MigrateConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Schema == "" {
		c.Schema = DefaultSchema
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	grants, err := grantSQL(c.Schema, c.AppRole, c.ReaderRole)
	if err != nil {
		return err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("bus: migrate: %w", err)
	}
	defer conn.Release()
	if c.DryRun != nil {
		pending, err := migrations().Pending(ctx, conn, c.Schema)
		if err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		for _, m := range pending {
			if _, err := io.WriteString(c.DryRun, m.Script(migrations().Component, c.Schema)); err != nil {
				return err
			}
		}
		_, err = io.WriteString(c.DryRun, grants)
		return err
	}
	applied, err := migrations().Run(ctx, conn.Conn(), c.Schema)
	for _, m := range applied {
		c.Logger.InfoContext(ctx, "schema migrated", slog.String("schema", c.Schema), slog.Int("version", m.Version), slog.String("name", m.Name))
	}
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if grants != "" {
		if _, err := conn.Conn().PgConn().Exec(ctx, grants).ReadAll(); err != nil {
			return fmt.Errorf("bus: migrate: grant: %w", err)
		}
	}
	return nil
}

// MigrationSQL is the whole schema as one SQL text, for people who run migrations with a tool of their own. It is for
// an empty schema; DryRun gives the rest for one that is behind.
func MigrationSQL(cfg *MigrateConfig) (string, error) {
	var c MigrateConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Schema == "" {
		c.Schema = DefaultSchema
	}
	grants, err := grantSQL(c.Schema, c.AppRole, c.ReaderRole)
	if err != nil {
		return "", err
	}
	script, err := migrations().Script(c.Schema)
	if err != nil {
		return "", fmt.Errorf("bus: %w", err)
	}
	return script + grants, nil
}

// grantSQL is the least that the two roles need.
func grantSQL(schema, app, reader string) (string, error) {
	if err := sqltext.CheckSchema(schema); err != nil {
		return "", fmt.Errorf("%w: Schema: %w", ErrConfig, err)
	}
	for name, role := range map[string]string{"AppRole": app, "ReaderRole": reader} {
		if len(role) > 63 || checkText("role", role) != nil {
			return "", fmt.Errorf("%w: %s: want at most 63 bytes of UTF-8 without NUL", ErrConfig, name)
		}
	}
	sql := ""
	if app != "" {
		sql += sqltext.Render(fmt.Sprintf(`
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT, INSERT, DELETE ON /*schema*/pgcoherence.event TO %[1]s;
GRANT SELECT, INSERT, UPDATE ON /*schema*/pgcoherence.epoch TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON /*schema*/pgcoherence.pod TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.setting, /*schema*/pgcoherence.migration TO %[1]s;`, sqltext.Quote(app)), schema) + "\n"
	}
	if reader != "" {
		sql += sqltext.Render(fmt.Sprintf(`
GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;
GRANT SELECT ON /*schema*/pgcoherence.pod, /*schema*/pgcoherence.setting, /*schema*/pgcoherence.migration TO %[1]s;`,
			sqltext.Quote(reader)), schema) + "\n"
	}
	return sql, nil
}
