package sessionstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Session is a session at the time when it was read. It belongs to the caller: changes affect only this copy, until
// it is passed to Save. Data is a copy, too, unless Config.ShareData is set. It contains nothing that opens the
// session, so it may be logged.
//
// Times are on the database's clock, in UTC.
type Session[T any] struct {
	Info
	Data T
	// Version is the version of Data, which Save compares. Every write increments it; uses do not.
	Version int64
	// Replaced says that it was read with a token that Rotate has replaced and that is in its grace. The client is
	// about to get the new token.
	Replaced bool
	// Remaining is how long it was valid from when it was read, if it is not used: until the idle timeout or the
	// deadline, whichever is first.
	Remaining time.Duration

	// What an unchanged copy came from.
	row     *row[T]
	receipt bus.Receipt
}

// Info describes a session without its token, for lists, logs and support.
type Info struct {
	ID              uuid.UUID     `json:"id"`             // public; rotation does not change it
	User            string        `json:"user,omitempty"` // empty for an anonymous session
	CreatedAt       time.Time     `json:"created_at"`
	AuthenticatedAt time.Time     `json:"authenticated_at,omitzero"` // of the last login; zero without one
	RotatedAt       time.Time     `json:"rotated_at"`                // when it got its current token
	LastSeen        time.Time     `json:"last_seen"`                 // last use; up to a tenth of Idle late
	ExpiresAt       time.Time     `json:"expires_at"`                // the deadline, independent of use
	Idle            time.Duration `json:"idle,omitempty"`            // the idle timeout; zero if it has none
	Issuer          string        `json:"issuer,omitempty"`          // of the identity provider's session
	SID             string        `json:"sid,omitempty"`
	Device          Device        `json:"device"`
	LastAddress     string        `json:"last_address,omitempty"` // of the last recorded use, see WithAddress
}

// Receipt returns the receipt of the write that returned this session or that it was passed to, for the bus's
// Confirm. It is zero if nothing was written, and for a new session, which no pod can have in memory.
func (s *Session[T]) Receipt() bus.Receipt { return s.receipt }

// UntilDeadline returns how long the session can last from now at most, however much it is used. It is 0 for a
// session that was not returned by a store. Unlike ExpiresAt it does not depend on this machine's clock.
func (s *Session[T]) UntilDeadline() time.Duration {
	if s.row == nil {
		return 0
	}
	return max(s.row.untilDeadline-s.row.elapsed(), 0)
}

// AuthenticatedWithin reports whether the user has logged in within the last d, by the database's clock. Use it for
// actions that ask for the password again.
func (s *Session[T]) AuthenticatedWithin(d time.Duration) bool {
	return s.row != nil && !s.AuthenticatedAt.IsZero() && s.row.authenticatedAge(s.AuthenticatedAt)+s.row.elapsed() < d
}
