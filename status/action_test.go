package status_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/status"
)

const actionToken = "another correct horse battery"

// audits gathers what OnAction is called with.
type audits struct {
	mu  sync.Mutex
	all []status.Action
}

func (a *audits) note(_ context.Context, one status.Action) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, one)
}

func (a *audits) last(t *testing.T) status.Action {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	require.NotEmpty(t, a.all)
	return a.all[len(a.all)-1]
}

// TestActions: each is confirmed, done on all pods, and written down without what it is about.
func TestActions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, fullTemplate)
	log, audit := &logBuffer{}, &audits{}
	a := newMember(t, db, "a", true, status.Config{Logger: log.logger(), ActionToken: actionToken, OnAction: audit.note})
	b := newMember(t, db, "b", true, status.Config{})
	do := func(pairs ...string) (int, string) {
		form := fields(append([]string{"by", "olga"}, pairs...)...)
		code, body := post(t, a.handler, "/actions/confirm", form, bearer(token)...)
		require.Equal(t, http.StatusOK, code, body)
		require.Contains(t, body, `action="./../actions/do"`)
		require.Contains(t, body, "written to the log as done by olga")
		before := len(audit.all)
		code, body = post(t, a.handler, "/actions/do", form, bearer(token)...)
		require.Equal(t, http.StatusForbidden, code, "confirmed, and not permitted: %s", body)
		require.Len(t, audit.all, before)
		form.Set("action_token", actionToken)
		return post(t, a.handler, "/actions/do", form, bearer(token)...)
	}
	done := func(pairs ...string) string {
		code, body := do(pairs...)
		require.Equal(t, http.StatusOK, code, body)
		require.NoError(t, audit.last(t).Err)
		require.Equal(t, "olga", audit.last(t).By)
		return body
	}

	const secret = "alice@example.com"
	for _, key := range []string{secret, "other"} {
		_, err := b.cache(t).Get(ctx, key)
		require.NoError(t, err)
	}
	held := func() int { return status.CacheOf(b.handler).Stats().Entries }
	require.Equal(t, 2, held())
	require.Contains(t, done("kind", "invalidate-key", "topic", "users", "subject", secret), "confirmed by all pods")
	require.Equal(t, 1, held(), "on the other pod")
	require.Equal(t, secret, audit.last(t).Subject)
	done("kind", "invalidate-topic", "topic", "users")
	require.Zero(t, held())

	session := func() uuid.UUID {
		login, err := b.sessions.BeginLogin(ctx, "alice")
		require.NoError(t, err)
		_, s, err := b.sessions.Create(ctx, login, "data", nil)
		require.NoError(t, err)
		return s.ID
	}
	count := func() int {
		n, err := b.sessions.Count(ctx, "alice")
		require.NoError(t, err)
		return n
	}
	first := session()
	session()
	done("kind", "revoke-session", "subject", first.String())
	require.Equal(t, 1, count())
	session()
	done("kind", "revoke-user", "subject", "alice")
	require.Zero(t, count())
	code, body := do("kind", "revoke-session", "subject", uuid.NewString())
	require.Equal(t, http.StatusBadGateway, code)
	require.Contains(t, body, "It was not done")
	require.Error(t, audit.last(t).Err)

	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { require.NoError(t, b.locker.Run(running)) })
	lease, err := b.locker.TryAcquire(ctx, "nightly")
	require.NoError(t, err)
	_, body = post(t, a.handler, "/actions/confirm", fields("by", "olga", "kind", "release-lease", "subject", "nightly"), bearer(token)...)
	require.Contains(t, body, "is taken from b, who has it since")
	require.Contains(t, done("kind", "release-lease", "subject", "nightly"), "The lease is released.")
	<-lease.Done()
	require.ErrorIs(t, lease.Err(), lock.ErrLost)

	require.Equal(t, 6, strings.Count(log.String(), `msg="status: action" `))
	require.Equal(t, 6, strings.Count(log.String(), `msg="status: action refused" `))
	for _, private := range []string{secret, first.String(), "alice", "nightly", actionToken, token} {
		require.NotContains(t, log.String(), private)
	}
	_, metrics, _ := get(t, a.handler, "/metrics", bearer(token)...)
	require.Contains(t, metrics, `pgcoherence_status_actions_total{action="revoke-user",result="done"} 1`)
	require.Contains(t, metrics, `pgcoherence_status_refused_total{reason="action"} 6`)
}

// TestActionsClosed: off by default, and not to be had by the token of the page, from another site, or without a name.
func TestActionsClosed(t *testing.T) {
	t.Parallel()
	form := func(pairs ...string) []string {
		return append([]string{"kind", "invalidate-topic", "topic", "users", "by", "olga", "action_token", actionToken}, pairs...)
	}
	off := newHandler(t, newFakeBus().live(), &status.Config{Token: token})
	_, body, _ := get(t, off, "/actions", bearer(token)...)
	require.Contains(t, body, "Actions are off")
	for _, path := range []string{"/actions/confirm", "/actions/do"} {
		code, _ := post(t, off, path, fields(form()...), bearer(token)...)
		require.Equal(t, http.StatusForbidden, code)
	}

	audit := &audits{}
	allowed := errors.New("not today")
	b := newFakeBus().live()
	on := newHandler(t, b, &status.Config{Token: token, ActionToken: actionToken, OnAction: audit.note, AuthorizeAction: func(*http.Request) error { return allowed }})
	for name, tc := range map[string]struct {
		form    []string
		headers []string
		code    int
	}{
		"no token of the page": {form(), nil, http.StatusUnauthorized},
		"another site":         {form(), append(bearer(token), "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"another origin":       {form(), append(bearer(token), "Sec-Fetch-Site", "", "Origin", "https://elsewhere.example"), http.StatusForbidden},
		"wrong token":          {form("action_token", token), bearer(token), http.StatusForbidden},
		"no action token":      {form("action_token", ""), bearer(token), http.StatusForbidden},
		"not authorized":       {form(), bearer(token), http.StatusForbidden},
		"nobody's name":        {form("by", " "), bearer(token), http.StatusBadRequest},
		"long name":            {form("by", strings.Repeat("n", 101)), bearer(token), http.StatusBadRequest},
		"no topic":             {form("topic", ""), bearer(token), http.StatusBadRequest},
		"no key":               {form("kind", "invalidate-key"), bearer(token), http.StatusBadRequest},
		"no store":             {form("kind", "revoke-user", "subject", "alice"), bearer(token), http.StatusBadRequest},
		"no locker":            {form("kind", "release-lease", "subject", "x"), bearer(token), http.StatusBadRequest},
		"nothing":              {form("kind", "drop-everything"), bearer(token), http.StatusBadRequest},
	} {
		code, _ := post(t, on, "/actions/do", fields(tc.form...), tc.headers...)
		require.Equal(t, tc.code, code, name)
	}
	require.Empty(t, audit.all)
	require.Zero(t, b.Local.Stats().Published)

	allowed = nil
	code, body := post(t, on, "/actions/do", fields(form()...), bearer(token)...)
	require.Equal(t, http.StatusOK, code, body)
	require.EqualValues(t, 1, b.Local.Stats().Published)
	code, _, _ = get(t, on, "/actions/do", bearer(token)...)
	require.Equal(t, http.StatusSeeOther, code, "a reload does not do it again")
}

// TestOnActionPanics: an audit of the application's that panics does not undo what was done.
func TestOnActionPanics(t *testing.T) {
	t.Parallel()
	h := newHandler(t, bus.NewLocal(), &status.Config{Token: token, ActionToken: actionToken, OnAction: func(context.Context, status.Action) { panic("audit") }})
	code, _ := post(t, h, "/actions/do", fields("kind", "invalidate-topic", "topic", "users", "by", "olga", "action_token", actionToken), bearer(token)...)
	require.Equal(t, http.StatusOK, code)
}

// TestPlainPage: what the live page says, for a browser without JavaScript.
func TestPlainPage(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	b.pods = []bus.Pod{{ID: "self", Name: "web-1", State: "live", Synced: true}, {ID: "x", Name: `<b>web-2`, State: "polling", Synced: true}}
	h := newHandler(t, b, &status.Config{Token: token})
	code, body, head := get(t, h, "/plain", bearer(token)...)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "1 of 2 pods is catching up or polling")
	require.Contains(t, body, "&lt;b&gt;web-2")
	require.Contains(t, head.Get("Content-Security-Policy"), "default-src 'none'")
	_, body, _ = get(t, h, "/", bearer(token)...)
	require.Contains(t, body, `<noscript><meta http-equiv="refresh" content="0; url=plain"></noscript>`)

	// A person whose login is over is led to the form, from wherever.
	for _, path := range []string{"/plain", "/find", "/actions", "/pods/x", "/status"} {
		code, _, head = get(t, h, path, "Accept", "text/html,*/*")
		require.Equal(t, http.StatusSeeOther, code, path)
		require.Contains(t, []string{"./", "./../"}, head.Get("Location"), path)
		code, _, _ = get(t, h, path)
		require.Equal(t, http.StatusUnauthorized, code, path)
	}
}
