package gorillastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/door"
)

// Import takes over sessions that were another store's.
type Import struct {
	store *Store
	mark  door.ImportMark
}

// BeginImport begins an import. Call it before anything is read from the other store: a session of a user whose sessions
// are ended here meanwhile is refused. Since, if not zero, is an earlier time, that of the first of several imports.
func (s *Store) BeginImport(ctx context.Context, since time.Time) (*Import, error) {
	mark, err := s.door().ImportMark(ctx)
	if err != nil {
		return nil, err
	}
	if !since.IsZero() && since.Before(mark.At) {
		mark.At = since
	}
	return &Import{s, mark}, nil
}

// Adopt stores a session that was another store's: under its name, with the ID that its cookie holds,
// wrapped by securecookie. A session that is there already, or was ended here, stays as it is: false. Its idle timeout
// begins again, its deadline is after remaining. It needs Config.KeyPairs, those of the other store.
// sessionstore.ErrLoginEnded: the sessions of its user were ended here since the import began.
func (i *Import) Adopt(ctx context.Context, name, id string, values map[any]any, remaining time.Duration) (adopted bool, err error) {
	s := i.store
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
	user := ""
	if s.cfg.WithUser != nil {
		user = s.cfg.WithUser(values)
	}

	if o.Login, err = s.door().BeginImported(ctx, user, i.mark); err != nil {
		return false, err
	}
	_, err = s.door().Commit(ctx, token, data, o)
	return err == nil, err
}
