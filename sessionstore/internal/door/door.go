// Package door holds the types by which the adapters of other session frameworks use a session store beyond its public
// methods. It names the store's own types by parameters, because the store imports it: L is its Login, P its Policy, D
// its Device.
package door

import (
	"time"

	"github.com/google/uuid"
)

// CommitOptions are those of the adapters' Commit; nil is an anonymous session as configured.
type CommitOptions[T, L, P, D any] struct {
	// MustExist stores nothing under a token that is not known: ErrNotFound. Set it wherever the framework can distinguish a new
	// session from one that it has read.
	MustExist bool
	// Merge makes the data of a session that exists from what the database holds now. It is called again when another
	// request has written in between, each time with a new copy; an error of its own ends the commit and is
	// returned as it is. Nil: the data given replaces whatever is there.
	Merge func(now T) (T, error)
	// ID keeps the public id of a session that its holder has ended with End, for frameworks that renew a token by
	// deleting the old session and storing a new one. Zero: a new id. It has no effect on a session that exists.
	ID uuid.UUID
	// Login, if not zero, is the user the session belongs to from now on.
	Login L
	// Authenticated says that the user of Login has shown credentials just now. Without it the session keeps the time of
	// its user's last login: one that is renewed or saved does, one that is imported or becomes another user's has none.
	Authenticated bool
	// Logout makes the session anonymous; its data and deadline stay. It excludes Login.
	Logout bool
	// Policy is for a new session.
	Policy P
	// Remaining, if positive, is how long from now the session lasts at most, whatever Policy and earlier calls say: for
	// frameworks that keep the deadline themselves.
	Remaining time.Duration
	// Issuer and SID are those of the identity provider's session that Login came from.
	Issuer, SID string
	// Device is for a new session.
	Device *D
}

// ImportMark is when an import has begun, as the database knows it.
type ImportMark struct {
	At    time.Time
	Floor int64 // changes with the end of all sessions of all users
}

// Renewal is what a session that was ended by its holder leaves to the one that continues it.
type Renewal[L any] struct {
	Login     L             // its user, and the generation it belonged to; zero: it was anonymous
	Remaining time.Duration // to its deadline

	Issuer, SID string // of the identity provider's session; empty: none
}
