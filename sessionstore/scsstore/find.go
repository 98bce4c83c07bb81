package scsstore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

// Find implements scs.Store.
func (s *Store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore. It reads from memory if that is in sync, and counts as a use. A session that has
// ended is not found. An error means that the result is unknown, or that this version of the program cannot read the
// session.
func (s *Store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	key, err := s.token(token)
	if errors.Is(err, ErrUnhashed) {
		return nil, false, nil // the contract: a malformed token is not found
	}
	got, err := s.get(ctx, key)
	if errors.Is(err, sessionstore.ErrNoSession) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, problem.Hide("scsstore", err)
	}
	return s.found(got, digestOf(key)), true, nil
}

// get reads a session that is not older than what the browser has seen written.
func (s *Store) get(ctx context.Context, key string) (*sessionstore.Session[Data], error) {
	got, err := s.sessions.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if seen := stampsOf(ctx).Version(got.ID); seen > got.Version {
		return s.sessions.GetAfter(ctx, key, seen)
	}
	return got, nil
}

// found is what the manager's codec decodes.
func (s *Store) found(got *sessionstore.Session[Data], token digest) []byte {
	if got.Data.form == formOpaque {
		return bytes.Clone(got.Data.encoded)
	}
	// The deadline is the database's; scs counts with this machine's clock.
	deadline := time.Now().Add(got.UntilDeadline()).UTC()
	f := frame{
		deadline: deadline, data: got.Data, unchanged: true,
		from: &origin{token: token, id: got.ID, user: got.User, deadline: deadline},
	}
	return f.bytes()
}
