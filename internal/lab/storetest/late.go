package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Late lets a request in that does some words late, has the browser do others meanwhile, the last of which leave it logged
// in as ann, and then has the response of the first arrive. The browser must still be ann's, on both pods, and come to
// have one cookie.
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
	// Each of the stores cleans up where it can write a cookie.
	b.Fine(one, "put:after=1")
	b.Fine(one, "put:after=1 save")
	require.Len(t, b.Cookies(), 1, "%q, late %q, meanwhile %q", before, late, meanwhile)
	require.Equal(t, "ann", b.Fine(other, "").Values["user"])
}
