package precedence_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/precedence"
)

// Each replaces those before it, and none of those replaces it.
func TestOver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	session := func(user string, authenticated, created int, id byte, replaced bool) *sessionstore.Session[int] {
		s := &sessionstore.Session[int]{Replaced: replaced}
		s.User, s.CreatedAt, s.ID = user, now.Add(time.Duration(created)*time.Second), uuid.UUID{id}
		if authenticated > 0 {
			s.AuthenticatedAt = now.Add(time.Duration(authenticated) * time.Second)
		}
		return s
	}
	order := []*sessionstore.Session[int]{
		session("", 0, 1, 1, false),
		session("", 0, 9, 2, false),    // nobody's, made later
		session("ann", 0, 1, 3, false), // recognized without credentials, made earlier
		session("ann", 0, 2, 4, false),
		session("bob", 3, 1, 5, true),
		session("bob", 3, 1, 5, false), // the newer token of the same session
		session("ann", 4, 0, 6, false), // the later login, in a session that was made earlier
	}
	for i, a := range order {
		require.False(t, precedence.Over(a, a))
		for _, b := range order[:i] {
			require.True(t, precedence.Over(a, b))
			require.False(t, precedence.Over(b, a))
		}
	}
}
