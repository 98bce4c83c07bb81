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

// MaxList is how many sessions List returns at most.
const MaxList = 1000

// List is the valid sessions of a user, newest first, at most MaxList. There is no data in it: that needs the token.
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

// Count is how many valid sessions a user has.
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
	RevokedAt    time.Time `json:"revoked_at,omitzero"` // zero: it was not ended
	RevokeReason Reason    `json:"revoke_reason,omitempty"`
	RevokedBy    string    `json:"revoked_by,omitempty"` // of WithActor
}

// Export writes all sessions there are, one JSON object of Exported a line, oldest first, those included that are over and
// not yet deleted: for audits. There is nothing in it by which a session could be used or its data read. It reads one
// consistent state and holds a connection until w has taken all.
func (s *Store[T]) Export(ctx context.Context, w io.Writer) error {
	rows, err := s.pool.Query(ctx, s.sql.export)
	if err != nil {
		return explain("export", err)
	}
	defer rows.Close()
	enc := json.NewEncoder(w)
	for rows.Next() {
		var e Exported
		var revoked, ended *time.Time
		var outdated bool
		var endedBy string
		if err := e.scan(rows, &revoked, &e.RevokeReason, &outdated, &ended, &e.RevokedBy, &endedBy); err != nil {
			return explain("export", err)
		}
		switch {
		case revoked != nil:
			e.RevokedAt = revoked.UTC()
		case outdated && ended != nil:
			e.RevokedAt, e.RevokeReason, e.RevokedBy = ended.UTC(), ReasonUser, endedBy
		}
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("sessionstore: export: %w", err)
		}
	}
	return explain("export", rows.Err())
}
