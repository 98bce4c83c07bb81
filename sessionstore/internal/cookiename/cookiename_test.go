package cookiename_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"session", "__Host-session"} {
		seen := map[string]bool{}
		for _, token := range []string{"", "a", "b", "ab", "A"} {
			name := cookiename.Of(base, token)
			require.False(t, seen[name])
			seen[name] = true
			require.Equal(t, name, cookiename.Of(base, token))
			require.True(t, cookiename.Is(base, name))
			require.False(t, stamp.IsName(base, name))
			require.NoError(t, (&http.Cookie{Name: name, Value: "x"}).Valid())
		}

		require.True(t, cookiename.Is(base, base))

		for version := range int64(5) {
			require.False(t, cookiename.Is(base, stamp.Name(base, version)))
		}

		for _, other := range []string{"", base + "-", base + "-short", base + "s", "x" + base, base + "-123456789"} {
			require.False(t, cookiename.Is(base, other), other)
		}
	}
}

func TestSent(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	require.Empty(t, cookiename.Sent(r, "s"))

	for _, c := range []*http.Cookie{
		{Name: "other", Value: "x"},
		{Name: "s", Value: "bare"},
		{Name: "s-at1", Value: "stamp"},
		{Name: cookiename.Of("s", "a"), Value: ""},
		{Name: cookiename.Of("s", "a"), Value: "a"},
		{Name: cookiename.Of("s", "b"), Value: "b"},
		{Name: cookiename.Of("s", "c"), Value: "c"},
		{Name: cookiename.Of("s", "d"), Value: "d"},
	} {
		r.AddCookie(c)
	}

	var values []string
	for _, c := range cookiename.Sent(r, "s") {
		values = append(values, c.Value)
	}

	require.Equal(t, []string{"bare", "a", "b", "c"}, values)
}
