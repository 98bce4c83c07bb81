package scsstore

import (
	"context"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/door"
)

type commitOptions = door.CommitOptions[Data, sessionstore.Login, sessionstore.Policy, sessionstore.Device]

// adapter is what sessionstore lets only this module do.
type adapter interface {
	Commit(ctx context.Context, token string, data Data, o *commitOptions) (*sessionstore.Session[Data], error)
	ImportMark(ctx context.Context) (door.ImportMark, error)
	BeginImported(ctx context.Context, user string, since door.ImportMark) (sessionstore.Login, error)
	EndForGood(ctx context.Context, token string) (bus.Receipt, error)
	EndForRenewal(ctx context.Context, token string) (*sessionstore.Session[Data], error)
	End(ctx context.Context, token string) (bus.Receipt, error)
	Renewal(ctx context.Context, id uuid.UUID) (door.Renewal[sessionstore.Login], error)
	Each(ctx context.Context, fn func(*sessionstore.Session[Data]) error) error
}

func (s *Store) door() adapter { return s.sessions.Adapter(hook.Token{}) }
