package sessionstore

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// stamp says of which session and version its holder has seen a write, in few characters.
type stamp struct {
	session [4]byte // the last bytes of its id, which are random
	version int64   // 0: none
}

func stampOf(id uuid.UUID, version int64) stamp {
	return stamp{session: [4]byte(id[len(id)-4:]), version: version}
}

func (t stamp) text() string {
	b := binary.AppendUvarint(t.session[:], uint64(t.version))
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseStamp reads what a browser sends, so whatever is no stamp counts as none.
func parseStamp(text string) (t stamp) {
	const most = 4 + binary.MaxVarintLen64
	if text == "" || len(text) > (most*4+2)/3 {
		return stamp{}
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < len(t.session) {
		return stamp{}
	}
	version, n := binary.Uvarint(b[len(t.session):])
	if n <= 0 || int64(version) <= 0 {
		return stamp{}
	}
	return stamp{session: [4]byte(b), version: int64(version)}
}

// after reports whether a stamp is of a later write to the session than the row has, and one that the database was not
// yet asked for in vain.
func (t stamp) after(version, askedFor int64, id uuid.UUID) bool {
	return t.version > version && t.version > askedFor && t.session == stampOf(id, 0).session
}

// Stamp is short text that stands for this version of the session's data, for [Store.GetAfter]. It opens nothing. Put it
// into a cookie beside the token with each response that wrote the session.
func (s *Session[T]) Stamp() string { return stampOf(s.ID, s.Version).text() }

// Receipt is that of the write which returned this session, or which it was last given to: for the bus' Confirm. It is
// zero if nothing was written, and for a new session, which no pod can have had in memory.
func (s *Session[T]) Receipt() bus.Receipt { return s.receipt }

// UntilDeadline is how long the session can last from now, however much it is used. It is zero for a session that no
// store returned. Unlike ExpiresAt it does not depend on how this machine's clock is set.
func (s *Session[T]) UntilDeadline() time.Duration {
	if s.row == nil {
		return 0
	}
	return max(s.row.untilDeadline-s.row.elapsed(), 0)
}
