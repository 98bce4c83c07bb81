package stamp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

func TestStamps(t *testing.T) {
	t.Parallel()
	mine, other := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	r := httptest.NewRequest("GET", "/", http.NoBody)
	require.Zero(t, stamp.Of(r, "s").Version(mine))

	for version := range int64(7) {
		r.AddCookie(&http.Cookie{Name: stamp.Name("s", version), Value: stamp.Text(version, mine)})
	}

	for _, name := range []string{"s", "s-at", "s-at9", "s-at00", "s-atx", "t-at0"} {
		r.AddCookie(&http.Cookie{Name: name, Value: stamp.Text(100, mine)})
	}

	require.Equal(t, int64(6), stamp.Of(r, "s").Version(mine))
	require.Zero(t, stamp.Of(r, "s").Version(other))

	for _, text := range []string{"", ".", "x", "-1." + mine.String()[24:], "zzzzzzzzzzzzzzzzzzzz." + mine.String()[24:], "!." + mine.String()[24:]} {
		require.Zero(t, stamp.Stamps{text}.Version(mine), text)
	}
}
