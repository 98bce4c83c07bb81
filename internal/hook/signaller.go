package hook

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Signaller is a bus that can tell other pods of something without the log: one NOTIFY, at once, and not after the
// announcements that are waiting. *bus.Postgres implements it. It is for hints that the receiver finds out for itself a
// little later: a pod that does not hear notifications at the moment never hears of a signal.
type Signaller interface {
	// Signal sends keys of a topic on a connection or a pool. False and no error: it is not possible at the moment, publish
	// instead.
	Signal(ctx context.Context, _ Token, db Execer, topic string, keys ...string) (sent bool, err error)
}

// Execer is a connection or a pool.
type Execer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
