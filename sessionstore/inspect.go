package sessionstore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/cache"
)

// Inspection is what the database, and this pod's memory, know of one session.
type Inspection struct {
	Info

	// Valid reports whether its token still opens it.
	Valid bool
	// RevokedAt is when the session itself was ended; zero if it was not. It may still have expired, or have ended
	// with all of the user's.
	RevokedAt time.Time
	Reason    Reason
	// Held lists the entries of the session in this pod's memory: none, one, or two while a replaced token is valid.
	Held []cache.Holding
}

// Inspect returns the state of a session by its public id, for support. ErrNotFound means that there is none, or that
// it was deleted after its end.
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
