package scsstore

import (
	"context"
	"errors"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

// Delete implements scs.Store.
func (s *Store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// DeleteCtx implements scs.CtxStore: it ends the session on every pod. It continues when ctx is cancelled, until
// Config.CommitTimeout. A token without a session is no error.
//
// scs calls it for a logout, and before it renews a token. If both happen at once, the logout wins. Of several
// concurrent renewals, each returns a token that works.
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

	switch endingOf() {
	case endingLogout:
		_, err = s.door().EndForGood(ctx, key)
	case endingRenewal:
		err = s.endForRenewal(ctx, key)
	default:
		_, err = s.door().End(ctx, key)
	}
	return unlessNone(err)
}

// endForRenewal ends a session that goes on under another token.
func (s *Store) endForRenewal(ctx context.Context, key string) error {
	// Whose it is, as of before the end: from then on it is not known, should the request clear the values.
	got, err := s.sessions.Look(ctx, key)
	if err == nil && got.User != "" {
		login, err := s.sessions.BeginLogin(ctx, got.User)
		if err != nil {
			return err
		}
		s.renewals.addLogin(login)
	}

	last, err := s.door().EndForRenewal(ctx, key)
	if last != nil {
		s.renewals.addData(last.ID, last.Data)
	}
	return err
}

func unlessNone(err error) error {
	if errors.Is(err, sessionstore.ErrNoSession) {
		return nil
	}
	return problem.Hide("scsstore", err)
}
