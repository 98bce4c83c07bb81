package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// TestNobody: the hash for names that nobody has is one, and takes as long as the others.
func TestNobody(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, bcrypt.CompareHashAndPassword([]byte(nobody), []byte("password")), bcrypt.ErrMismatchedHashAndPassword)
	cost, err := bcrypt.Cost([]byte(nobody))
	require.NoError(t, err)
	require.Equal(t, bcrypt.DefaultCost, cost)
}

// TestBinding: a second tab does not take the first one's away.
func TestBinding(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		p := &pod{plain: plain}
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		first := p.binding(httptest.NewRecorder(), r)
		require.NotEmpty(t, first)
		require.NotEqual(t, first, p.binding(httptest.NewRecorder(), r))

		w := httptest.NewRecorder()
		r.AddCookie(p.bindingCookie(first))
		require.Equal(t, first, p.binding(w, r))
		set, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
		require.NoError(t, err)
		require.Equal(t, !plain, set.Secure)
		require.True(t, set.HttpOnly)
		require.Empty(t, (&pod{plain: !plain}).bindingOf(r), "with the prefix and without are two")
	}
}

// TestDeviceName: lists show what people call their browsers.
func TestDeviceName(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36":                   "Chrome on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140": "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/19.0 Safari/604":  "Safari on iPhone",
		"browser on the laptop": "browser on the laptop",
	} {
		d := device{}
		d.Device.UserAgent = agent
		require.Equal(t, want, d.Name())
	}
}
