package gorillastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Adopt stores a session of another store, for importers: under its name, with the ID that its cookie contains,
// wrapped by securecookie. It returns false for a session that exists, or has ended, here. The idle timeout starts
// again; the deadline is after remaining. It needs Config.KeyPairs, those of the other store.
func (s *Store) Adopt(ctx context.Context, name, id string, values map[any]any, remaining time.Duration) (adopted bool, err error) {
	if s.codecs == nil {
		return false, fmt.Errorf("%w: KeyPairs: without those of the other store no cookie can be read", ErrConfig)
	}
	if len(id) != importedLen {
		return false, fmt.Errorf("%w: the ID has %d bytes, want %d", sessionstore.ErrMalformed, len(id), importedLen)
	}
	if remaining <= 0 {
		return false, nil
	}
	token := importedToken(id)
	_, err = s.sessions.GetFresh(ctx, token)
	if !errors.Is(err, sessionstore.ErrNotFound) {
		if errors.Is(err, sessionstore.ErrNoSession) {
			err = nil
		}
		return false, err
	}
	data, err := encode(name, values, true)
	if err != nil {
		return false, err
	}
	o := &commitOptions{Remaining: min(remaining, longest*time.Second)}
	if s.cfg.WithUser != nil {
		if user := s.cfg.WithUser(values); user != "" {
			if o.Login, err = s.sessions.BeginLogin(ctx, user); err != nil {
				return false, err
			}
		}
	}
	_, err = s.door().Commit(ctx, token, data, o)
	return err == nil, err
}
