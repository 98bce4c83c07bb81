package migrate

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

const migrationTable = `CREATE TABLE IF NOT EXISTS /*schema*/pgcoherence.migration (
    component  text        NOT NULL,
    version    integer     NOT NULL,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (component, version)
);
`

// missing says what has to be created before the first version of any component.
type missing struct{ schema, table bool }

func readMissing(ctx context.Context, db Queryer, schema string) (m missing, err error) {
	name := sqltext.Quote(schema)
	err = db.QueryRow(ctx, "SELECT to_regnamespace($1) IS NULL, to_regclass($2) IS NULL", name, name+".migration").Scan(&m.schema, &m.table)
	return m, err
}

// sql makes what is missing. CREATE SCHEMA IF NOT EXISTS would ask for the right to create schemas even if there is
// nothing to do, and a script may be run after another component's.
func (m missing) sql(schema string) string {
	var b strings.Builder
	if m.schema {
		fmt.Fprintf(&b, "DO $$ BEGIN IF to_regnamespace('%[1]s') IS NULL THEN CREATE SCHEMA %[1]s; END IF; END $$;\n", sqltext.Quote(schema))
	}
	if m.table {
		b.WriteString(sqltext.Render(migrationTable, schema) + "\n")
	}
	return b.String()
}

// SQL returns all versions after cfg.After and the grants as one script.
func (c Component) SQL(cfg *Config) (string, error) {
	d, err := c.withDefaults(cfg)
	if err != nil {
		return "", err
	}
	all, err := c.Load(d.Schema)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	first := d.After == 0
	return c.script(all[d.After:], missing{schema: first, table: first}, d), nil
}

// script is what Run does as one SQL text: in a transaction that it begins and ends, or for a tool that runs it in one.
// It is empty if there is nothing to do.
func (c Component) script(versions []Migration, m missing, cfg Config) string {
	grants := c.grants(cfg)
	if len(versions) == 0 && grants == "" {
		return ""
	}

	// goose splits a file at semicolons, except between these two comments; other tools pass over them.
	before, after := "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n", "COMMIT;\n"
	if cfg.NoTransaction {
		before, after = "-- +goose Up\n-- +goose StatementBegin\n", "-- +goose StatementEnd\n"
	}

	var b strings.Builder
	fmt.Fprintf(&b, "-- pgcoherence: %s, schema %s\n%s", c.Name, cfg.Schema, before)
	// What follows runs after a process that migrates the same schema at the same time, not beside it.
	fmt.Fprintf(&b, "DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtextextended('%s', 0)); END $$;\n", sqltext.LockName(cfg.Schema))
	b.WriteString(m.sql(cfg.Schema))
	for _, v := range versions {
		fmt.Fprintf(&b, "\n-- %s version %d: %s\n%s\n%s", c.Name, v.Version, v.Name, v.SQL, c.insertVersion(cfg.Schema, v))
	}
	b.WriteString("\n" + grants + after)
	return b.String()
}

// insertVersion is the statement that ends each version. All its parts are made of letters, digits and _.
func (c Component) insertVersion(schema string, m Migration) string {
	return fmt.Sprintf("INSERT INTO %s.migration (component, version, name) VALUES ('%s', %d, '%s');\n",
		sqltext.Quote(schema), c.Name, m.Version, m.Name)
}
