// Package migrate brings the tables of one component up to date: numbered SQL files, one transaction per version under
// an advisory lock, with the version's row in the same transaction.
//
// The lock is a transaction's, not a session's, so it works through a transaction pooler, and two pods that migrate at
// once do so one after the other. Nothing else in this project changes the schema.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Set is the migrations of one component: files named NNN_name.sql, numbered from 001 without gaps.
type Set struct {
	Component string
	Files     fs.FS
}

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

const prologue = `CREATE TABLE /*schema*/pgcoherence.migration (
    component  text        NOT NULL,
    version    integer     NOT NULL,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (component, version)
)`

// Load reads and renders all versions, ascending.
func (s Set) Load(schema string) ([]Migration, error) {
	if err := sqltext.CheckSchema(schema); err != nil {
		return nil, err
	}
	entries, err := fs.Glob(s.Files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(entries)
	all := make([]Migration, 0, len(entries))
	for i, entry := range entries {
		number, name, ok := strings.Cut(strings.TrimSuffix(entry, ".sql"), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != i+1 {
			return nil, fmt.Errorf("migrate: %s: want %03d_name.sql", entry, i+1)
		}
		all = append(all, Migration{Version: version, Name: name, SQL: sqltext.Load(s.Files, entry, schema)})
	}
	return all, nil
}

// Latest is the newest version of the set.
func (s Set) Latest() int {
	entries, _ := fs.Glob(s.Files, "*.sql")
	return len(entries)
}

// Version is the newest version of the component in the database, 0 if there is none or no schema at all.
func (s Set) Version(ctx context.Context, db Queryer, schema string) (int, error) {
	var version int
	err := db.QueryRow(ctx, sqltext.Render(
		`SELECT coalesce(max(version), 0) FROM /*schema*/pgcoherence.migration WHERE component = $1`, schema),
		s.Component).Scan(&version)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && (pgErr.Code == "42P01" || pgErr.Code == "3F000") { // no table, no schema
		return 0, nil
	}
	return version, err
}

// Pending is what Run would apply now. It changes nothing.
func (s Set) Pending(ctx context.Context, db Queryer, schema string) ([]Migration, error) {
	all, err := s.Load(schema)
	if err != nil {
		return nil, err
	}
	version, err := s.Version(ctx, db, schema)
	if err != nil {
		return nil, err
	}
	return all[min(version, len(all)):], nil
}

// Run applies what is pending and returns it. A database that is newer than the set is left as it is.
func (s Set) Run(ctx context.Context, conn *pgx.Conn, schema string) ([]Migration, error) {
	all, err := s.Load(schema)
	if err != nil {
		return nil, err
	}
	var applied []Migration
	for _, m := range all {
		done, err := s.apply(ctx, conn, schema, m)
		if err != nil {
			return applied, fmt.Errorf("migrate: %s version %d (%s): %w", s.Component, m.Version, m.Name, err)
		}
		if done {
			applied = append(applied, m)
		}
	}
	return applied, nil
}

// apply applies one version unless it is there already, which is looked up under the lock.
func (s Set) apply(ctx context.Context, conn *pgx.Conn, schema string, m Migration) (done bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "pgcoherence:"+schema); err != nil {
			return err
		}
		var version int
		var hasSchema, hasTable bool
		if err := tx.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL",
			sqltext.Quote(schema), sqltext.Quote(schema)+".migration").Scan(&hasSchema, &hasTable); err != nil {
			return err
		}
		// CREATE SCHEMA IF NOT EXISTS asks for the right to create even if there is nothing to do.
		if !hasSchema {
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+sqltext.Quote(schema)); err != nil {
				return err
			}
		}
		if !hasTable {
			if _, err := tx.Exec(ctx, sqltext.Render(prologue, schema)); err != nil {
				return err
			}
		}
		version, err := s.Version(ctx, tx, schema)
		if err != nil || version >= m.Version {
			return err
		}
		if _, err := conn.PgConn().Exec(ctx, m.SQL).ReadAll(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sqltext.Render(insertVersion, schema), s.Component, m.Version, m.Name)
		done = err == nil
		return err
	})
	return done && err == nil, err
}

const insertVersion = `INSERT INTO /*schema*/pgcoherence.migration (component, version, name) VALUES ($1, $2, $3)`

// Script is the whole set as one SQL text for people who run migrations with a tool of their own.
func (s Set) Script(schema string) (string, error) {
	all, err := s.Load(schema)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n%s;\n", sqltext.Quote(schema),
		strings.Replace(sqltext.Render(prologue, schema), "CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
	for _, m := range all {
		b.WriteString(m.Script(s.Component, schema))
	}
	return b.String(), nil
}

// Script is this version as it would be run, its version row included.
func (m Migration) Script(component, schema string) string {
	return fmt.Sprintf("\n-- %s version %d: %s\nBEGIN;\n%s\nINSERT INTO %s.migration (component, version, name) VALUES ('%s', %d, '%s');\nCOMMIT;\n",
		component, m.Version, m.Name, m.SQL, sqltext.Quote(schema), component, m.Version, m.Name)
}
