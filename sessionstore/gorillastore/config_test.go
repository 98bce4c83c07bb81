package gorillastore_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	pool, b := pods[0].pool, bus.NewLocal()
	for field, c := range map[string]gorillastore.Config{
		"Sessions.Codec":     {Sessions: sessionstore.Config[gorillastore.Data]{Codec: sessionstore.JSON[gorillastore.Data]()}},
		"Sessions.ShareData": {Sessions: sessionstore.Config[gorillastore.Data]{ShareData: true}},
		"Options.MaxAge":     {Options: &sessions.Options{MaxAge: -1}},
		"SaveTimeout":        {SaveTimeout: -1},
		"KeyPairs":           {KeyPairs: [][]byte{make([]byte, 15)}},
		"number 1":           {KeyPairs: [][]byte{make([]byte, 32), make([]byte, 15)}},
	} {
		_, err := gorillastore.New(b, pool, &c)
		require.ErrorIs(t, err, gorillastore.ErrConfig, field)
		require.ErrorContains(t, err, field)
	}

	_, err := gorillastore.New(nil, pool, nil)
	require.ErrorIs(t, err, sessionstore.ErrConfig)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	(&storetest.Browser{T: t}).Fine(pods[0], "put:user=ann save")
	problems, err := testutil.CollectAndLint(pods[0].Store)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, gorillastore.Stats{Saved: 1}, pods[0].Stats())
}

func TestForeignSessions(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	r, w := httptest.NewRequest(http.MethodGet, "/", http.NoBody), httptest.NewRecorder()
	require.ErrorIs(t, pods[0].Save(r, w, nil), gorillastore.ErrForeign)
	require.ErrorIs(t, pods[0].Save(r, w, &sessions.Session{}), gorillastore.ErrForeign)
	// One that was made by hand, as some programs do, without options and values.
	made := sessions.NewSession(pods[0].Store, "made")
	made.Options, made.Values = nil, nil
	require.NoError(t, made.Save(r, w))
	require.NotEmpty(t, w.Result().Cookies())
}
