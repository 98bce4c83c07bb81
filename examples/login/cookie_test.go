package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

func TestCookies(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		c := cookies{plain}
		w := httptest.NewRecorder()
		c.set(w, sessionCookie, "value", 0)
		set, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
		require.NoError(t, err)
		require.True(t, (&story{stage: &stage{plain: plain}}).goodCookie(set), "%s", set)
		require.Equal(t, 0, set.MaxAge, "it goes with the browser")
		require.NotContains(t, attributes(set), "value")

		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		require.Empty(t, c.get(r, sessionCookie))
		r.AddCookie(set)
		require.Equal(t, "value", c.get(r, sessionCookie))
		require.Empty(t, cookies{!plain}.get(r, sessionCookie), "with the prefix and without are two")

		w = httptest.NewRecorder()
		c.clear(w, sessionCookie)
		set, err = http.ParseSetCookie(w.Header().Get("Set-Cookie"))
		require.NoError(t, err)
		require.Negative(t, set.MaxAge)
	}
}

// TestBinding: a second tab does not take the first one's away.
func TestBinding(t *testing.T) {
	t.Parallel()
	c := cookies{}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	first := c.binding(httptest.NewRecorder(), r)
	require.NotEmpty(t, first)
	require.NotEqual(t, first, c.binding(httptest.NewRecorder(), r))
	r.AddCookie(&http.Cookie{Name: c.name(bindingCookie), Value: first})
	require.Equal(t, first, c.binding(httptest.NewRecorder(), r))
}

// TestNobody: the hash for names that nobody has is one, and takes as long as the others.
func TestNobody(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, bcrypt.CompareHashAndPassword([]byte(nobody), []byte("password")), bcrypt.ErrMismatchedHashAndPassword)
	cost, err := bcrypt.Cost([]byte(nobody))
	require.NoError(t, err)
	require.Equal(t, bcrypt.DefaultCost, cost)
}
