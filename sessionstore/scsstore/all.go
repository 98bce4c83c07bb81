package scsstore

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// All implements scs.IterableStore.
func (s *Store) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

// AllCtx implements scs.IterableCtxStore. The tokens are not stored, so the keys of the map are handles that only
// Delete accepts: as a cookie they open nothing. Sessions of other stores on the same tables, and unreadable ones,
// are left out.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	if s.cfg.Sessions.Encrypt {
		return nil, ErrEncrypted
	}
	all := map[string][]byte{}
	err := s.door().Each(ctx, func(got *sessionstore.Session[Data]) error {
		h := handle{got.ID, got.User}
		all[h.String()] = s.found(got, digest{})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.manager.HashTokenInStore {
		s.handles.keep(all)
	}

	return all, nil
}

// handle takes the place of the token of a session that Iterate has reached.
type handle struct {
	id   uuid.UUID
	user string
}

// No cookie can hold a NUL.
const handlePrefix = "\x00session "

const uuidLen = 36

func (h handle) String() string { return handlePrefix + h.id.String() + h.user }

func parseHandle(text string) (h handle, ok bool) {
	rest, ok := strings.CutPrefix(text, handlePrefix)
	if !ok || len(rest) < uuidLen {
		return h, false
	}
	id, err := uuid.Parse(rest[:uuidLen])
	return handle{id, rest[uuidLen:]}, err == nil
}

// handleOf finds out whether scs means a handle. With HashTokenInStore it hashes handles as well.
func (s *Store) handleOf(token string) (handle, bool) {
	if s.manager.HashTokenInStore {
		return s.handles.find(token)
	}
	return parseHandle(token)
}

// handles are those that were given out while scs hashes, by what it makes of them. A session has one, however often
// Iterate reaches it; it is forgotten when the last time was long ago.
type handles struct {
	mu    sync.Mutex
	known map[string]keptHandle
	timer *time.Timer // forgets them all, should there be no further Iterate
}

type keptHandle struct {
	handle
	at time.Time
}

// handlesKept is for how long after an Iterate its handles are kept: longer than one may take.
const handlesKept = time.Hour

func (k *handles) keep(all map[string][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for token, h := range k.known {
		if now.Sub(h.at) > handlesKept {
			delete(k.known, token)
		}
	}
	if k.known == nil {
		k.known = make(map[string]keptHandle, len(all))
	}
	for text := range all {
		if h, ok := parseHandle(text); ok {
			k.known[hashed(text)] = keptHandle{h, now}
		}
	}

	if k.timer != nil {
		k.timer.Stop()
	}
	k.timer = time.AfterFunc(handlesKept, k.drop)
}

func (k *handles) find(token string) (handle, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, ok := k.known[token]
	return h.handle, ok
}

// drop forgets them all.
func (k *handles) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = nil
	if k.timer != nil {
		k.timer.Stop()
	}
}
