package sessionstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Session is a session as it was when it was read. It belongs to the caller: changing it changes nothing but this copy,
// until it is given to Save. Data is a copy as well, unless Config.ShareData says otherwise. It holds nothing that opens
// the session: it may be logged.
//
// Times are those of the database's clock, in UTC.
type Session[T any] struct {
	Info
	Data T
	// Version of Data, which Save compares. It goes up with every write, and never with a use.
	Version int64
	// Replaced says that the token it was read with is one that Rotate has replaced, in its grace: the client will have
	// the new one any moment.
	Replaced bool
	// Remaining is how long it is valid from when it was read, if it is not used: to the idle timeout or the deadline,
	// whichever comes first.
	Remaining time.Duration

	// What an unchanged copy came from.
	row     *row[T]
	receipt bus.Receipt
}

// Info is what is known of a session without its token: for lists, logs, support.
type Info struct {
	ID              uuid.UUID     `json:"id"`             // public; it stays through rotation
	User            string        `json:"user,omitempty"` // empty: nobody has logged in
	CreatedAt       time.Time     `json:"created_at"`
	AuthenticatedAt time.Time     `json:"authenticated_at,omitzero"` // of the last login; zero: none
	RotatedAt       time.Time     `json:"rotated_at"`                // since when the token is what it is
	LastSeen        time.Time     `json:"last_seen"`                 // up to a tenth of Idle behind
	ExpiresAt       time.Time     `json:"expires_at"`                // the deadline, whatever the use
	Idle            time.Duration `json:"idle,omitempty"`            // zero: no idle timeout
	Issuer          string        `json:"issuer,omitempty"`          // of the identity provider's session
	SID             string        `json:"sid,omitempty"`
	Device          Device        `json:"device"`
	LastAddress     string        `json:"last_address,omitempty"` // where the last recorded use came from, see WithAddress
}

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

// AuthenticatedWithin says whether the user has logged in that recently, by the database's clock: for what asks for the
// password once more.
func (s *Session[T]) AuthenticatedWithin(d time.Duration) bool {
	return s.row != nil && !s.AuthenticatedAt.IsZero() && s.row.authenticatedAge(s.AuthenticatedAt)+s.row.elapsed() < d
}
