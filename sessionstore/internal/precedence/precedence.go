// Package precedence decides between two valid sessions that one browser shows, because a response was late.
package precedence

import "github.com/pgcoherence/pgcoherence/sessionstore"

// Over reports whether a replaces b: it has a user and b has none, its login was later, it was made later, or it was read
// with the newer token of the same session.
func Over[T any](a, b *sessionstore.Session[T]) bool {
	switch {
	case (a.User != "") != (b.User != ""):
		return a.User != ""
	case !a.AuthenticatedAt.Equal(b.AuthenticatedAt):
		return a.AuthenticatedAt.After(b.AuthenticatedAt)
	case a.ID != b.ID || !a.CreatedAt.Equal(b.CreatedAt):
		return a.CreatedAt.After(b.CreatedAt)
	}
	return !a.Replaced && b.Replaced
}
