// Package migrate brings the tables of one component up to date: numbered SQL files, one transaction per version under
// an advisory lock, with the version's row in the same transaction. It also checks, for a process that starts, that the
// tables are there.
//
// The lock is a transaction's, not a connection's, so it works through a transaction pooler, and two processes that
// migrate at once do so one after the other. Nothing else in this project changes the schema, except that watched tables
// get trigger functions there, under the same lock.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Component is a package with tables of its own.
type Component struct {
	// Name is the package's name. It is in the table migration and in errors.
	Name string

	// Files holds the migrations as migration/NNN_name.sql, numbered from 001 without gaps.
	Files fs.FS

	// DefaultSchema is where the tables are unless a Config names a schema.
	DefaultSchema string

	// AppGrants and ReaderGrants are statements in which %[1]s is the role.
	AppGrants, ReaderGrants string

	// ErrConfig and ErrSchema are the component's errors for a bad Config and for a schema that is missing or too old.
	ErrConfig, ErrSchema error
}

// ErrHidden means that row level security hides rows of the table migration, so that the version cannot be known.
var ErrHidden = errors.New("row level security hides rows")

// Migration is one version, its SQL rendered for a schema.
type Migration struct {
	Version int
	Name    string
	SQL     string
}

// Queryer is what reading the version needs: a connection, a pool or a transaction.
type Queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Load reads and renders all versions, ascending.
func (c Component) Load(schema string) ([]Migration, error) {
	if err := sqltext.CheckSchema(schema); err != nil {
		return nil, err
	}
	entries, err := c.entries()
	if err != nil {
		return nil, err
	}

	all := make([]Migration, 0, len(entries))
	for i, entry := range entries {
		number, name, ok := strings.Cut(strings.TrimSuffix(path.Base(entry), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != i+1 {
			return nil, fmt.Errorf("migrate: %s: want %03d_name.sql", path.Base(entry), i+1)
		}
		all = append(all, Migration{Version: version, Name: name, SQL: terminated(sqltext.LoadScript(c.Files, entry, schema))})
	}
	return all, nil
}

// terminated ends the last statement, so that another one can follow.
func terminated(sql string) string {
	if sql == "" || strings.HasSuffix(sql, ";") {
		return sql
	}
	return sql + "\n;" // on a line of its own: the last one may be a comment
}

// Latest returns the newest version of the component.
func (c Component) Latest() int {
	entries, _ := c.entries()
	return len(entries)
}

func (c Component) entries() ([]string, error) {
	entries, err := fs.Glob(c.Files, "migration/*.sql")
	slices.Sort(entries)
	return entries, err
}

const readVersion = `SELECT coalesce(max(version), 0), row_security_active('/*schema*/pgcoherence.migration'::regclass), current_user
FROM /*schema*/pgcoherence.migration WHERE component = $1`

// Version returns the newest version of the component in the database, 0 if there is none or no schema at all.
func (c Component) Version(ctx context.Context, db Queryer, schema string) (int, error) {
	var version int
	var hidden bool
	var role string
	err := db.QueryRow(ctx, sqltext.Render(readVersion, schema), c.Name).Scan(&version, &hidden, &role)

	switch {
	case pgerr.IsMissingTable(err):
		return 0, nil
	case err != nil:
		return 0, err
	case hidden:
		// Whatever was read, it may not be all that there is.
		return 0, fmt.Errorf("%w of table %s.migration from role %q: disable it there, or give the role BYPASSRLS",
			ErrHidden, sqltext.Quote(schema), role)
	}
	return version, nil
}

// Check returns an error that wraps ErrSchema unless the component's tables are there and new enough.
func (c Component) Check(ctx context.Context, db Queryer, schema string) error {
	version, err := c.Version(ctx, db, schema)
	if err != nil {
		return err
	}
	if want := c.Latest(); version < want {
		return fmt.Errorf("%w: schema %s has version %d, this code needs %d: call %s.Migrate",
			c.ErrSchema, sqltext.Quote(schema), version, want, c.Name)
	}
	return nil
}
