package sessionstore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// MaxList is the maximum number of sessions that List returns.
const MaxList = 1000

// List returns the valid sessions of a user, newest first, at most MaxList, without their data.
func (s *Store[T]) List(ctx context.Context, user string) ([]Info, error) {
	if err := checkUser(user); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, s.sql.list, user, MaxList)
	if err != nil {
		return nil, explain("list", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i Info, err error) {
		err = i.scan(row)
		return i, err
	})
	return list, explain("list", err)
}

// Count returns the number of valid sessions of a user.
func (s *Store[T]) Count(ctx context.Context, user string) (n int, err error) {
	if err := checkUser(user); err != nil {
		return 0, err
	}
	err = s.pool.QueryRow(ctx, s.sql.count, user).Scan(&n)
	return n, explain("count", err)
}

// scan reads the columns that list.sql and export.sql begin with, and whatever follows.
func (i *Info) scan(row pgx.CollectableRow, more ...any) (err error) {
	var id string
	var authenticated *time.Time
	var idle int64
	var device []byte
	err = row.Scan(append([]any{
		&id, &i.User, &i.CreatedAt, &authenticated, &i.RotatedAt, &i.LastSeen, &i.ExpiresAt, &idle, &i.Issuer, &i.SID, &device,
		&i.LastAddress,
	}, more...)...)
	if err != nil {
		return err
	}
	if authenticated != nil {
		i.AuthenticatedAt = authenticated.UTC()
	}

	i.CreatedAt, i.RotatedAt, i.LastSeen, i.ExpiresAt = i.CreatedAt.UTC(), i.RotatedAt.UTC(), i.LastSeen.UTC(), i.ExpiresAt.UTC()
	i.Idle, i.Device = micros(idle), parseDevice(device)
	i.ID, err = uuid.Parse(id)
	return err
}

// Exported is one line of Export.
type Exported struct {
	Info
	RevokedAt    time.Time `json:"revoked_at,omitzero"` // zero if it was not ended
	RevokeReason Reason    `json:"revoke_reason,omitempty"`
	RevokedBy    string    `json:"revoked_by,omitempty"` // of WithActor
}

// exportPage is how many sessions Export reads at once.
const exportPage = 500

// Export writes all sessions, including ended ones that are not yet deleted, as one JSON object of type [Exported]
// per line, in the order of their public ids, which begin with the time of creation. It is for audits, and contains
// nothing that opens a session, and no data. It reads page by page, without keeping a connection or a snapshot while
// w blocks: sessions that begin or end in the meantime may be missing.
func (s *Store[T]) Export(ctx context.Context, w io.Writer) error {
	enc := json.NewEncoder(w)
	after, key := uuid.Nil, []byte{}
	for {
		page, last, err := s.exportPage(ctx, after, key)
		if err != nil {
			return explain("export", err)
		}

		for _, e := range page {
			if err := enc.Encode(e); err != nil {
				return fmt.Errorf("sessionstore: export: %w", err)
			}
		}

		if len(page) < exportPage {
			return nil
		}

		after, key = page[len(page)-1].ID, last
	}
}

// exportPage reads the sessions after that of an id and a key, and returns the key of the last one.
func (s *Store[T]) exportPage(ctx context.Context, after uuid.UUID, key []byte) (page []Exported, last []byte, err error) {
	rows, err := s.pool.Query(ctx, s.sql.export, after.String(), key, exportPage)
	if err != nil {
		return nil, nil, err
	}

	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Exported, err error) {
		var revoked, ended *time.Time
		var outdated bool
		var endedBy string
		err = e.scan(row, &revoked, &e.RevokeReason, &outdated, &ended, &e.RevokedBy, &endedBy, &last)
		switch {
		case revoked != nil:
			e.RevokedAt = revoked.UTC()
		case outdated && ended != nil:
			e.RevokedAt, e.RevokeReason, e.RevokedBy = ended.UTC(), ReasonUser, endedBy
		}
		return e, err
	})

	return page, last, err
}
