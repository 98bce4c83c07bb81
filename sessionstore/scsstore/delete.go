package scsstore

import (
	"context"
	"errors"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Delete implements scs.Store.
func (s *Store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// DeleteCtx implements scs.CtxStore: it ends the session on every pod. It goes on when ctx is cancelled, until
// Config.CommitTimeout. A token of no session is no error.
//
// scs calls it to log out, and before it renews a token. When both meet, the logout wins.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	if token == "" {
		return nil // a session that was never stored
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	if h, ok := s.handleOf(token); ok {
		_, err := s.sessions.RevokeByID(ctx, h.user, h.id)
		return unlessNone(err)
	}
	key, err := s.token(token)
	if errors.Is(err, ErrUnhashed) {
		return nil // the contract: what does not exist is deleted
	}
	_, err = s.door().End(ctx, key)
	return unlessNone(err)
}

func unlessNone(err error) error {
	if errors.Is(err, sessionstore.ErrNoSession) {
		return nil
	}
	return err
}
