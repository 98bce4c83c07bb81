package sessionstore

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Queries lists the embedded statements by file, for a test that prepares each one.
func Queries(schema string) map[string]string {
	q := loadQueries(schema)
	return map[string]string{
		"generation": q.generation, "enter_user": q.enterUser, "hold_user": q.holdUser, "login_stands": q.loginStands, "lock_user": q.lockUser, "lock_sid": q.lockSID,
		"get": q.get, "create": q.create, "save": q.save, "touch": q.touch, "rotate": q.rotate, "first_use": q.firstUse, "adopt": q.adopt,
		"revoke": q.revoke, "revoke_id": q.revokeID, "revoke_user": q.revokeUser, "revoke_others": q.revokeOthers,
		"revoke_sid": q.revokeSID, "logout_sid": q.logoutSID, "evict": q.evict,
		"lock_login": q.lockLogin, "forget_user": q.forgetUser, "forget_absent": q.forgetAbsent, "forget_sessions": q.forgetSessions,
		"revoke_all_floor": q.revokeAllFloor, "revoke_all_users": q.revokeAllUsers, "revoke_all_others": q.revokeAllOthers,
		"set_device": q.setDevice, "set_policy": q.setPolicy,
		"count": q.count, "list": q.list, "bound": q.bound, "export": q.export, "inspect": q.inspect,
		"sweep_lock": q.sweepLock, "sweep_begin": q.sweepBegin, "sweep_expired": q.sweepExpired, "sweep_one_time": q.sweepOneTime, "sweep_logouts": q.sweepLogouts, "sweep_forgotten": q.sweepForgotten, "sweep_due": q.sweepDue, "sweep_walk": q.sweepWalk, "sweep_walked": q.sweepWalked, "sweep_delete": q.sweepDelete, "sweep_later": q.sweepLater, "sweep_users": q.sweepUsers, "sweep_ended": q.sweepEnded, "sweep_orphans": q.sweepOrphans, "sweep_users_done": q.sweepUsersDone, "sweep_pages": q.sweepPages, "sweep_end": q.sweepEnd,
		"tier_key": q.tierKey, "remember": q.remember, "remembers": q.remembers, "put": q.put, "take": q.take,
	}
}

// QueryFiles is how many statements are embedded.
func QueryFiles() (int, error) {
	entries, err := queryFiles.ReadDir("query")
	return len(entries), err
}

// WithClock sets the clock.
func WithClock[T any](c *Config[T], now func() time.Time) *Config[T] {
	c.now = now
	return c
}

// KeyOf is what a token's session is called in caches and notifications, and the two halves of its hash.
func KeyOf(token string) (text string, first, second []byte) {
	var l sealer
	s, _, err := l.parse(token[:tokenLen])
	if err != nil {
		panic(err)
	}
	k, p := s.hash()
	return k.String(), k[:], p[:]
}

// ParseToken is the parser of tokens, for fuzzing.
func ParseToken(token string, keys ...[]byte) (secret []byte, err error) {
	l := sealer{keys: keys}
	s, sealed, err := l.parse(token)
	if err != nil {
		return nil, err
	}
	if err := l.check(&s, sealed); err != nil {
		return nil, err
	}
	return s[:], nil
}

// FormatToken is the reverse.
func FormatToken(bytes []byte, keys ...[]byte) string {
	s := secret(bytes)
	return (&sealer{keys: keys}).format(&s)
}

// Pack and Unpack are the envelope. A nil key leaves it plain.
func Pack(k []byte, id uuid.UUID, version int64, codec byte, encoded []byte) []byte {
	if k == nil {
		return pack(nil, id, version, codec, encoded)
	}
	dk := dataKey(k)
	return pack(&dk, id, version, codec, encoded)
}

func Unpack(k []byte, data []byte, id uuid.UUID, version int64) (byte, []byte, error) {
	return unpack(data, id, version, func() (dataKey, error) {
		if k == nil {
			return dataKey{}, ErrUnreadable
		}
		return dataKey(k), nil
	})
}

// Secrets are values that must format as nothing.
func Secrets() []any {
	s, k := newSecret(), newDataKey()
	return []any{s, &s, k, &k, struct{ S secret }{s}}
}

// FlushTouches writes what waits to be written.
func (s *Store[T]) FlushTouches(ctx context.Context) { s.flush(ctx) }

// Cached reports whether a token's session is held in memory and may be served.
func (s *Store[T]) Cached(token string) bool {
	p, err := s.present(token)
	if err != nil {
		return false
	}
	_, err = s.rows.Peek(p.key)
	return err == nil
}

// TierRoundTrip sends the row of a token through the codec of a tier into another store.
func TierRoundTrip[T any](ctx context.Context, from, to *Store[T], token string) (remaining time.Duration, err error) {
	p, err := from.present(token)
	if err != nil {
		return 0, err
	}

	r, _, err := from.find(ctx, &p)
	if err != nil {
		return 0, err
	}

	data, err := rowCodec[T]{from}.Marshal(r)
	if err != nil {
		return 0, err
	}

	other, err := rowCodec[T]{to}.Unmarshal(data)
	if err != nil {
		return 0, err
	}

	return other.remaining(other.elapsed()), nil
}

// Running reports whether Run has begun its work.
func (s *Store[T]) Running() bool { return s.running.Load() }
