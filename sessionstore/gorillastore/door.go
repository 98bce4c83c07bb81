package gorillastore

import (
	"context"

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
}

func (s *Store) door() adapter { return s.sessions.Adapter(hook.Token{}) }
