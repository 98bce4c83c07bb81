package sessionstore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/cache"
)

// Inspection is what is known of one session: by the database, and by this pod's memory.
type Inspection struct {
	Info

	// Valid reports whether its token still opens it.
	Valid bool
	// RevokedAt is when it was ended by itself, zero if it was not: it may have expired, or all of the user's were ended.
	RevokedAt time.Time
	Reason    Reason
	// Held is what this pod's memory holds of it: nothing, one entry, or two while a replaced token goes on.
	Held []cache.Holding
}

// Inspect looks a session up by its public id: for people who want to know what became of it, and which pods hold it.
// ErrNotFound: there is none, or it was deleted after its end.
func (s *Store[T]) Inspect(ctx context.Context, id uuid.UUID) (Inspection, error) {
	rows, err := s.pool.Query(ctx, s.sql.inspect, id.String())
	if err != nil {
		return Inspection{}, explain("inspect", err)
	}
	var own, before []byte
	found, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (i Inspection, err error) {
		var revoked *time.Time
		if err := i.scan(row, &i.Valid, &revoked, &i.Reason, &own, &before); err != nil {
			return i, err
		}
		if revoked != nil {
			i.RevokedAt = revoked.UTC()
		}
		return i, nil
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Inspection{}, ErrNotFound
	}
	if err != nil {
		return Inspection{}, explain("inspect", err)
	}

	for _, k := range [][]byte{own, before} {
		if len(k) == len(key{}) {
			found.Held = append(found.Held, s.rows.Holdings(key(k).String())...)
		}
	}
	return found, nil
}
