package scsstore

import (
	"context"
	"errors"
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

// Adopt stores a session that was another store's: under the token that scs has given out, or the hash of
// it if isHash. b is what the manager's codec of that time wrote. A session that is there already, or was ended here,
// stays as it is: false. Its idle timeout begins again, its deadline is at the given time by this machine's clock.
// sessionstore.ErrLoginEnded: the sessions of its user were ended here since the import began.
// sessionstore.ErrUnreadable: the values do not decode; the types in them have to be registered as in the program itself.
func (i *Import) Adopt(ctx context.Context, token string, isHash bool, b []byte) (adopted bool, err error) {
	s := i.store
	codec, ok := s.manager.Codec.(managerCodec)
	if !ok {
		return false, ErrConfig
	}

	if !isHash {
		token = hashed(token)
	}
	data, deadline, values, err := s.forms.adopt(b)
	if err != nil {
		return false, err
	}

	_, err = s.sessions.GetFresh(ctx, token)
	if !errors.Is(err, sessionstore.ErrNotFound) {
		if errors.Is(err, sessionstore.ErrNoSession) {
			err = nil
		}
		return false, err
	}

	remaining := min(time.Until(deadline), longest)
	if remaining <= 0 {
		return false, nil
	}

	o := s.options(ctx, remaining)
	user := ""
	if codec.user != nil {
		user = codec.user(values)
	}

	if o.Login, err = s.door().BeginImported(ctx, user, i.mark); err != nil {
		return false, err
	}
	_, err = s.door().Commit(ctx, token, data, o)
	return err == nil, err
}
