package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Late sends a request that executes the commands in late only after the browser has sent the requests in meanwhile, which
// leave it logged in as ann. Then the response to the first request arrives. The browser must still be logged in as ann, on
// both pods, and must end up with one session cookie.
func Late(t *testing.T, one, other Pod, before, late string, meanwhile []string) {
	t.Helper()
	b := &Browser{T: t}
	if before != "" {
		b.Fine(one, before)
	}
	letGo := b.Copied().SendSlow(other, "", late)
	for _, words := range meanwhile {
		b.Fine(one, words)
	}
	b.Receive(letGo())

	for _, p := range []Pod{one, other} {
		require.Equal(t, "ann", b.Fine(p, "").Values["user"], "%q, late %q, meanwhile %q", before, late, meanwhile)
	}
	// A store removes surplus cookies with the next response that sets one.
	b.Fine(one, "put:after=1")
	b.Fine(one, "put:after=1 save")
	require.Len(t, b.Cookies(), 1, "%q, late %q, meanwhile %q", before, late, meanwhile)
	require.Equal(t, "ann", b.Fine(other, "").Values["user"])
}
