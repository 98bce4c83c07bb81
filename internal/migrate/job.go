package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Job is one call of a component's Migrate, or of its export.
type Job struct {
	Set    Set
	Schema string
	Grants []Grant
	DryRun io.Writer    // if not nil, takes the SQL that would be run, and nothing is run
	Logger *slog.Logger // nil means slog.Default()
}

// Grant is what one role is given each time.
type Grant struct {
	Field string // what the role is called in the component's configuration
	Role  string // empty: nothing is granted
	SQL   string // statements in which %[1]s is the role
}

const maxRole = 63 // Postgres cuts identifiers there

// Check says what is wrong with the schema or a role, and names the field.
func (j Job) Check() error {
	if err := sqltext.CheckSchema(j.Schema); err != nil {
		return fmt.Errorf("%s: %w", "Schema", err) // the field of the component's configuration
	}
	for _, g := range j.Grants {
		if len(g.Role) > maxRole || !utf8.ValidString(g.Role) || strings.IndexByte(g.Role, 0) >= 0 {
			return fmt.Errorf("%s: want at most %d bytes of UTF-8 without NUL", g.Field, maxRole)
		}
	}
	return nil
}

// Run brings the component up to date and grants what is to be granted, or writes what it would do.
func (j Job) Run(ctx context.Context, pool *pgxpool.Pool) error {
	if err := j.Check(); err != nil {
		return err
	}
	if pool == nil {
		return errors.New("migrate: pool is nil")
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Release()
	if j.DryRun != nil {
		return j.dryRun(ctx, conn)
	}
	applied, err := j.Set.Run(ctx, conn.Conn(), j.Schema)
	for _, m := range applied {
		j.logger().InfoContext(ctx, "schema migrated", slog.String("component", j.Set.Component), slog.String("schema", j.Schema),
			slog.Int("version", m.Version), slog.String("name", m.Name))
	}
	if err != nil {
		return err
	}
	if grants := j.grantSQL(); grants != "" {
		if _, err := conn.Conn().PgConn().Exec(ctx, grants).ReadAll(); err != nil {
			return fmt.Errorf("migrate: grant: %w", err)
		}
	}
	return nil
}

func (j Job) logger() *slog.Logger {
	if j.Logger == nil {
		return slog.Default()
	}
	return j.Logger
}

func (j Job) dryRun(ctx context.Context, db Queryer) error {
	pending, err := j.Set.Pending(ctx, db, j.Schema)
	if err != nil {
		return err
	}
	for _, m := range pending {
		if _, err := io.WriteString(j.DryRun, m.Script(j.Set.Component, j.Schema)); err != nil {
			return err
		}
	}
	_, err = io.WriteString(j.DryRun, j.grantSQL())
	return err
}

// SQL is the whole component, grants included, as one text for an empty schema.
func (j Job) SQL() (string, error) {
	if err := j.Check(); err != nil {
		return "", err
	}
	script, err := j.Set.Script(j.Schema)
	return script + j.grantSQL(), err
}

func (j Job) grantSQL() string {
	var b strings.Builder
	for _, g := range j.Grants {
		if g.Role != "" {
			b.WriteString(sqltext.Render(fmt.Sprintf(g.SQL, sqltext.Quote(g.Role)), j.Schema) + "\n")
		}
	}
	return b.String()
}
