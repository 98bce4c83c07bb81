package sessionstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// The kinds of rows in the table of a LocalStore.
const (
	kindSession    = "session"
	kindUser       = "user"
	kindLogout     = "logout"
	kindOneTime    = "one-time"
	kindRemembered = "remembered"
)

// localRow is a row to write, or with no value one to delete.
type localRow struct {
	kind, id string
	value    any
}

func rowOf(kind, id string, value any) localRow { return localRow{kind, id, value} }

// The statements are plain enough for SQLite and for whatever else takes ? as a placeholder and has upserts.
const (
	localTable  = `CREATE TABLE IF NOT EXISTS pgcoherence_local_session (kind TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, id))`
	localSelect = `SELECT kind, id, value FROM pgcoherence_local_session`
	localPut    = `INSERT INTO pgcoherence_local_session (kind, id, value) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value`
	localDelete = `DELETE FROM pgcoherence_local_session WHERE kind = ? AND id = ?`
)

// OpenLocal returns a store in an SQLite database, with any database/sql driver: sessions outlive the process. It
// creates its table, pgcoherence_local_session, if it does not exist, and reads it. The table contains tokens only as
// hashes; Config.Encrypt encrypts data as in [Store]. It never closes the database. See [NewLocal] for the rest.
func OpenLocal[T any](ctx context.Context, b *bus.Local, db *sql.DB, cfg *Config[T]) (*LocalStore[T], error) {
	if db == nil {
		return nil, fmt.Errorf("%w: db is nil", ErrConfig)
	}
	s, err := NewLocal(b, cfg)
	if err != nil {
		return nil, err
	}
	s.db, s.base, s.last = db, 1, 1

	if _, err := db.ExecContext(ctx, localTable); err != nil {
		return nil, fmt.Errorf("%w: open: %w", ErrUnavailable, err)
	}
	rows, err := db.QueryContext(ctx, localSelect)
	if err != nil {
		return nil, fmt.Errorf("%w: open: %w", ErrUnavailable, err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, id string
		var value []byte
		if err := rows.Scan(&kind, &id, &value); err != nil {
			return nil, fmt.Errorf("%w: open: %w", ErrUnavailable, err)
		}
		if err := s.load(kind, id, value); err != nil {
			return nil, fmt.Errorf("%w: %s %s: %w", ErrSchema, kind, id, err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%w: open: %w", ErrUnavailable, err)
	}
	return s, nil
}

// load takes one row into memory.
func (s *LocalStore[T]) load(kind, id string, value []byte) error {
	d, err := parseDigest(id)
	if err != nil && kind != kindSession {
		return err
	}

	switch kind {
	case kindSession:
		rec := &record{}
		if err := decodeGob(value, rec); err != nil {
			return err
		}
		rec.use = newLastUse(rec.Info.LastSeen, rec.Info.LastAddress)
		s.put(rec)
		s.last = max(s.last, rec.Gen)
		return nil
	case kindUser:
		var u localUser
		err = decodeGob(value, &u)
		s.users[d], s.last = u, max(s.last, u.Gen)
	case kindLogout:
		s.logouts[d], err = decodeTime(value)
	case kindOneTime:
		var v localValue
		err = decodeGob(value, &v)
		s.oneTime[d] = v
	case kindRemembered:
		s.remembered[d], err = decodeTime(value)
	}

	return err // a kind that this version does not know stays where it is
}

// store writes rows in one transaction. A write goes on when its request has gone away.
func (s *LocalStore[T]) store(ctx context.Context, rows []localRow) error {
	if s.db == nil || len(rows) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.form.cfg.LookupTimeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: write: %w", ErrUnavailable, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit this does nothing

	for _, row := range rows {
		if row.value == nil {
			_, err = tx.ExecContext(ctx, localDelete, row.kind, row.id)
		} else {
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(row.value); err != nil {
				return fmt.Errorf("sessionstore: write: %w", err)
			}
			_, err = tx.ExecContext(ctx, localPut, row.kind, row.id, b.Bytes())
		}
		if err != nil {
			return fmt.Errorf("%w: write: %w", ErrUnavailable, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: write: %w", ErrUnavailable, err)
	}
	return nil
}

// flushUses writes the last uses.
func (s *LocalStore[T]) flushUses(ctx context.Context) {
	if s.db == nil {
		return
	}

	var taken []*lastUse
	_, err := s.write(ctx, func(_ time.Time, w *localWrite) error {
		for id, rec := range s.sessions {
			if rec.use.unsaved.Swap(false) {
				taken = append(taken, rec.use)
				w.rows = append(w.rows, rowOf(kindSession, id.String(), rec.withUse()))
			}
		}
		return nil
	})
	if err != nil {
		for _, u := range taken {
			u.unsaved.Store(true)
		}
		s.form.log.WarnContext(ctx, "uses not written", slog.Int("sessions", len(taken)), slog.Any("error", err))
	}
}

// withUse is the record with its last use in it.
func (r *record) withUse() *record {
	c := *r
	c.Info.LastSeen, c.Info.LastAddress = r.use.time(), *r.use.address.Load()
	return &c
}

func parseDigest(id string) (d digest, err error) {
	if len(id) != 2*len(d) {
		return d, fmt.Errorf("id of %d characters", len(id))
	}
	_, err = hex.Decode(d[:], []byte(id))
	return d, err
}

func decodeGob(value []byte, into any) error {
	return gob.NewDecoder(bytes.NewReader(value)).Decode(into)
}

func decodeTime(value []byte) (at time.Time, err error) {
	err = decodeGob(value, &at)
	return at, err
}
