package status_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/status"
)

// logBuffer takes what is logged.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// post sends a form as a browser on the page does; headers come in pairs.
func post(t testing.TB, h http.Handler, path string, form url.Values, headers ...string) (code int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func fields(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// TestFind: who holds a key, since when, and from which snapshot, on all pods; and what became of sessions and leases.
func TestFind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, fullTemplate)
	log := &logBuffer{}
	a := newMember(t, db, "a", true, status.Config{Logger: log.logger()})
	b, silent := newMember(t, db, "b", true, status.Config{}), newMember(t, db, "c", false, status.Config{})
	find := func(kind, topic, key string) string {
		code, body := post(t, a.handler, "/find", fields("kind", kind, "topic", topic, "key", key), bearer(token)...)
		require.Equal(t, http.StatusOK, code, body)
		return body
	}
	eventually(t, func() bool { return open(t, a, "/pods/"+b.bus.ID()).Replied }, "b replies")
	eventually(t, func() bool { return open(t, silent, "/pods/"+a.bus.ID()).Replied }, "c is there")

	const secret = "alice@example.com"
	require.Contains(t, find("key", "users", secret), "0 of 3 pods hold it")
	_, err := b.cache(t).Get(ctx, secret)
	require.NoError(t, err)
	body := find("key", "users", secret)
	require.Contains(t, body, "1 of 3 pods hold it")
	require.Regexp(t, `holds a value, stored \d+s ago with all transactions before \d+ applied; it expires in`, body)
	require.Contains(t, body, "does not hold it")
	require.Contains(t, body, "did not reply within 3s", "c")
	require.Contains(t, find("key", "users", `<script>alert(1)</script>`), "&lt;script&gt;")

	login, err := a.sessions.BeginLogin(ctx, "alice")
	require.NoError(t, err)
	opens, s, err := a.sessions.Create(ctx, login, "data", nil)
	require.NoError(t, err)
	_, err = b.sessions.Get(ctx, opens)
	require.NoError(t, err)
	body = find("session", "", s.ID.String())
	require.Contains(t, body, "valid, of the user <code>alice</code>")
	require.Contains(t, body, "holds a value")
	_, err = a.sessions.RevokeByID(ctx, "alice", s.ID)
	require.NoError(t, err)
	require.Contains(t, find("session", "", s.ID.String()), "ended, device, of the user")
	require.Contains(t, find("session", "", uuid.NewString()), "0 of 3 pods hold it")

	require.Contains(t, find("lease", "", "report"), "Free.")
	lease, err := b.locker.TryAcquire(ctx, "report")
	require.NoError(t, err)
	require.Contains(t, find("lease", "", "report"), "Held by <code>b</code> since")
	require.NoError(t, lease.Release(ctx))

	for _, wrong := range []url.Values{
		fields("kind", "key", "topic", "nothing", "key", "1"), fields("kind", "key", "topic", "users"), fields("kind", "session", "key", opens),
		fields("kind", "nothing", "key", "1"), fields("kind", "key", "topic", "users", "key", strings.Repeat("x", 1025)),
	} {
		code, body := post(t, a.handler, "/find", wrong, bearer(token)...)
		require.Equal(t, http.StatusBadRequest, code, body)
	}
	code, _ := post(t, a.handler, "/find", fields("kind", "key", "topic", "users", "key", "1"))
	require.Equal(t, http.StatusUnauthorized, code)
	code, _ = post(t, a.handler, "/find", fields("kind", "key", "topic", "users", "key", "1"), "Authorization", "Bearer "+token, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, code)

	require.Contains(t, log.String(), `msg="status: search" kind=key topic=users key_code=`)
	for _, private := range []string{secret, s.ID.String(), opens, "report"} {
		require.NotContains(t, log.String(), private)
	}
}

// TestFindAlone: a bus that knows of no others looks into its own memory.
func TestFindAlone(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	c := newCache(t, b, "users")
	_, err := c.Get(t.Context(), "1")
	require.NoError(t, err)
	h := newHandler(t, b, &status.Config{Token: token, Caches: []status.Cache{c}})
	code, body := post(t, h, "/find", fields("kind", "key", "topic", "users", "key", "1"), bearer(token)...)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "1 of 1 pods hold it")
	require.NotContains(t, body, "What became of a session", "nothing is offered that is not there")
}
