package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// The statements are what Postgres and SQLite have in common.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS account (name text PRIMARY KEY, password text NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS setting (name text PRIMARY KEY, theme text NOT NULL, changes bigint NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS note (id text PRIMARY KEY, owner text NOT NULL, body text NOT NULL, created bigint NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS note_owner ON note (owner, created)`,
	`CREATE TABLE IF NOT EXISTS attachment (note text NOT NULL, name text NOT NULL, data bytea NOT NULL, PRIMARY KEY (note, name))`,
}

func makeTables(ctx context.Context, db *sql.DB) error {
	for _, statement := range tables {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// account is who may log in. Without a password only the identity provider lets in.
type account struct{ Name, Password string }

// setting is a user's own.
type setting struct {
	Theme   string
	Changes int64
}

// note is one with the names of its attachments.
type note struct {
	ID, Body    string
	Created     time.Time
	Attachments []string
}

// store reads accounts and settings from memory, and everything else from the database.
type store struct {
	b        *backend
	accounts *cache.Cache[string, account]
	settings *cache.Cache[string, setting]
}

func newStore(b *backend) (*store, error) {
	s := &store{b: b}
	var err error
	if s.accounts, err = cache.New(b.bus, "accounts", cache.Func(s.loadAccount), nil); err != nil {
		return nil, err
	}
	s.settings, err = cache.New(b.bus, "settings", cache.Func(s.loadSetting), &cache.Config[string, setting]{Tier: b.tier})
	return s, err
}

func (s *store) close() error { return errors.Join(s.accounts.Close(), s.settings.Close()) }

func (s *store) loadAccount(ctx context.Context, name string) (a account, err error) {
	err = s.b.db.QueryRowContext(ctx, "SELECT name, password FROM account WHERE name = $1", name).Scan(&a.Name, &a.Password)
	return a, err
}

// loadSetting returns the default for who has none: it is part of the loader, so that all pods have the same.
func (s *store) loadSetting(ctx context.Context, name string) (setting, error) {
	var v setting
	err := s.b.db.QueryRowContext(ctx, "SELECT theme, changes FROM setting WHERE name = $1", name).Scan(&v.Theme, &v.Changes)
	if errors.Is(err, sql.ErrNoRows) {
		return setting{Theme: "auto"}, nil
	}
	return v, err
}

// addAccount makes one, or reports that the name is taken.
func (s *store) addAccount(ctx context.Context, a account) (added bool, err error) {
	_, err = s.b.bus.InSQL(ctx, s.b.db, func(tx *sql.Tx, staging *bus.Staging) error {
		done, err := tx.ExecContext(ctx, "INSERT INTO account (name, password) VALUES ($1, $2) ON CONFLICT DO NOTHING", a.Name, a.Password)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		added = n == 1
		return errors.Join(err, s.accounts.InvalidateSQL(staging, a.Name)) // that it does not exist is cached, too
	})
	return added, err
}

func (s *store) setTheme(ctx context.Context, name, theme string) error {
	_, err := s.b.bus.InSQL(ctx, s.b.db, func(tx *sql.Tx, staging *bus.Staging) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO setting (name, theme, changes) VALUES ($1, $2, 1)
			ON CONFLICT (name) DO UPDATE SET theme = excluded.theme, changes = setting.changes + 1`, name, theme)
		return errors.Join(err, s.settings.InvalidateSQL(staging, name))
	})
	return err
}

func (s *store) notes(ctx context.Context, owner string) (list []note, err error) {
	rows, err := s.b.db.QueryContext(ctx, `SELECT n.id, n.body, n.created, coalesce(a.name, '') FROM note AS n
		LEFT JOIN attachment AS a ON a.note = n.id WHERE n.owner = $1 ORDER BY n.created DESC, n.id, a.name LIMIT 500`, owner)
	if err != nil {
		return nil, err
	}
	defer rows.Close()

	for rows.Next() {
		var n note
		var created int64
		var attachment string
		if err := rows.Scan(&n.ID, &n.Body, &created, &attachment); err != nil {
			return nil, err
		}

		if len(list) == 0 || list[len(list)-1].ID != n.ID {
			n.Created = time.Unix(created, 0).UTC()
			list = append(list, n)
		}

		if attachment != "" {
			last := &list[len(list)-1]
			last.Attachments = append(last.Attachments, attachment)
		}
	}

	return list, rows.Err()
}

func (s *store) addNote(ctx context.Context, owner, body string) error {
	_, err := s.b.db.ExecContext(ctx, "INSERT INTO note (id, owner, body, created) VALUES ($1, $2, $3, $4)",
		uuid.NewString(), owner, body, time.Now().Unix())
	return err
}

func (s *store) deleteNote(ctx context.Context, owner, id string) error {
	_, err := s.b.bus.InSQL(ctx, s.b.db, func(tx *sql.Tx, _ *bus.Staging) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM attachment WHERE note IN (SELECT id FROM note WHERE id = $1 AND owner = $2)", id, owner)
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM note WHERE id = $1 AND owner = $2", id, owner)
		}
		return err
	})
	return err
}

var errTooMany = errors.New("a note has at most ten attachments")

// attach adds a file. The lease makes "count, then insert" right on any number of pods, and the guard keeps a pod that has
// lost it, by standing still, from committing.
func (s *store) attach(ctx context.Context, owner, id, name string, data []byte) error {
	return s.b.exclusively(ctx, "note/"+id, func(ctx context.Context, guard func(*sql.Tx) error) error {
		_, err := s.b.bus.InSQL(ctx, s.b.db, func(tx *sql.Tx, _ *bus.Staging) error {
			if err := guard(tx); err != nil {
				return err
			}

			var found, n int
			err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM note WHERE id = $1 AND owner = $2),
				(SELECT count(*) FROM attachment WHERE note = $1)`, id, owner).Scan(&found, &n)
			switch {
			case err != nil:
				return err
			case found == 0:
				return fmt.Errorf("note: %w", cache.ErrNotFound)
			case n >= 10:
				return errTooMany
			}

			_, err = tx.ExecContext(ctx, `INSERT INTO attachment (note, name, data) VALUES ($1, $2, $3)
				ON CONFLICT (note, name) DO UPDATE SET data = excluded.data`, id, name, data)
			return err
		})
		return err
	})
}

func (s *store) attachment(ctx context.Context, owner, id, name string) (data []byte, err error) {
	err = s.b.db.QueryRowContext(ctx, `SELECT a.data FROM attachment AS a JOIN note AS n ON n.id = a.note
		WHERE a.note = $1 AND a.name = $2 AND n.owner = $3`, id, name, owner).Scan(&data)
	return data, err
}
