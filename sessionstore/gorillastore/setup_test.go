package gorillastore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var quiet = slog.New(slog.DiscardHandler)

var template = &pgtest.Template{Name: "gorillastore", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	return sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet})
}}

const cookieName = "visit"

func userOf(values map[any]any) string {
	user, _ := values["user"].(string)
	return user
}

// pod is a program with a bus and a store of its own, over a database that others use, too.
type pod struct {
	*gorillastore.Store
	bus  *bus.Postgres
	pool *pgxpool.Pool
	web  *httptest.Server
	slow chan chan struct{}
}

func setup(t testing.TB, pods int, config func(*gorillastore.Config)) (*pgtest.DB, []*pod) {
	t.Helper()
	db := pgtest.New(t, template)
	all := make([]*pod, pods)
	for i := range all {
		all[i] = newPod(t, db, string(rune('a'+i)), config)
	}
	return db, all
}

func newPod(t testing.TB, db *pgtest.DB, name string, config func(*gorillastore.Config)) *pod {
	t.Helper()
	pool := db.Pool(t)
	b, err := bus.NewPostgres(pool, &bus.Config{
		Name: name, Logger: quiet, StaleAfter: 3 * time.Second, BeatInterval: 200 * time.Millisecond, SweepInterval: 30 * time.Millisecond,
	})
	require.NoError(t, err)
	cfg := gorillastore.Config{WithUser: userOf}
	cfg.Sessions.Logger, cfg.Sessions.SweepInterval = quiet, -1
	if config != nil {
		config(&cfg)
	}
	s, err := gorillastore.New(b, pool, &cfg)
	require.NoError(t, err)
	p := &pod{Store: s, bus: b, pool: pool, slow: make(chan chan struct{})}
	background(t, b.Run)
	select {
	case <-b.Ready():
	case <-time.After(30 * time.Second):
		require.Fail(t, "bus is not ready")
	}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	background(t, s.Run)
	p.web = httptest.NewServer(p.handler())
	t.Cleanup(p.web.Close)
	return p
}

func background(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	}))
}

func eventually(t testing.TB, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, 30*time.Second, 5*time.Millisecond, what)
}

// handler is an application. Each request does what the words of "do" say, in order, and answers all values.
func (p *pod) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := cookieName
		if other := r.URL.Query().Get("name"); other != "" {
			name = other
		}
		session, err := p.Get(r, name)
		if session == nil {
			panic("nil session")
		}
		if err != nil && r.URL.Query().Get("careless") == "" {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		for _, word := range strings.Fields(r.URL.Query().Get("do")) {
			if err := p.act(w, r, session, word); err != nil {
				http.Error(w, err.Error(), http.StatusTeapot)
				return
			}
		}
		values := map[string]any{"new": session.IsNew}
		for key, value := range session.Values {
			if text, ok := key.(string); ok {
				values[text] = fmt.Sprint(value)
			}
		}
		_ = json.NewEncoder(w).Encode(values)
	})
}

func (p *pod) act(w http.ResponseWriter, r *http.Request, session *sessions.Session, word string) error {
	verb, rest, _ := strings.Cut(word, ":")
	key, value, _ := strings.Cut(rest, "=")
	switch verb {
	case "put":
		session.Values[key] = value
	case "remove":
		delete(session.Values, key)
	case "big":
		session.Values[key] = strings.Repeat("x", 100<<10)
	case "replace":
		session.Values = map[any]any{key: value}
	case "renew":
		session.ID = ""
	case "choose":
		session.ID = key
	case "age":
		d, err := time.ParseDuration(key)
		if err != nil {
			return err
		}
		session.Options.MaxAge = int(d.Seconds())
	case "path":
		session.Options.Path = key
	case "flash":
		session.AddFlash(key)
	case "flashes":
		session.Values["flashes"] = session.Flashes()
	case "begin":
		return p.BeginLogin(r.Context(), session, key)
	case "save":
		return session.Save(r, w)
	case "saveall":
		return sessions.Save(r, w)
	case "wait":
		on := make(chan struct{})
		p.slow <- on
		<-on
	}
	return nil
}

// browser keeps a cookie and shows it to whichever pod it is sent to.
type browser struct {
	t      testing.TB
	cookie *http.Cookie
	query  string
}

type answer struct {
	status int
	values map[string]any
	text   string
	set    *http.Cookie
}

func (b *browser) do(p *pod, words string) answer {
	b.t.Helper()
	a, err := b.try(b.t.Context(), p, words)
	require.NoError(b.t, err)
	return a
}

func (b *browser) fine(p *pod, words string) answer {
	b.t.Helper()
	a := b.do(p, words)
	require.Equal(b.t, http.StatusOK, a.status, a.text)
	return a
}

func (b *browser) try(ctx context.Context, p *pod, words string) (a answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.web.URL+"/?"+b.query+"&do="+url.QueryEscape(words), http.NoBody)
	if err != nil {
		return a, err
	}
	if b.cookie != nil {
		r.AddCookie(&http.Cookie{Name: b.cookie.Name, Value: b.cookie.Value})
	}
	response, err := p.web.Client().Do(r)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a.status, a.text = response.StatusCode, string(body)
	if a.status == http.StatusOK {
		if err := json.Unmarshal(body, &a.values); err != nil {
			return a, err
		}
	}
	for _, c := range response.Cookies() { // the last one counts
		a.set, b.cookie = c, c
		if c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return a, nil
}

func (b *browser) copied() *browser { return &browser{b.t, b.cookie, b.query} }

// sendSlow sends a request that stops in its handler; the rest of the words is done once letGo is called.
func (b *browser) sendSlow(p *pod, before, after string) (letGo func() answer) {
	b.t.Helper()
	type result struct {
		a   answer
		err error
	}
	done := make(chan result, 1)
	ctx := b.t.Context()
	go func() {
		a, err := b.try(ctx, p, before+" wait "+after)
		done <- result{a, err}
	}()
	var on chan struct{}
	select {
	case on = <-p.slow:
	case <-time.After(30 * time.Second):
		require.Fail(b.t, "request has not arrived")
	}
	return func() answer {
		b.t.Helper()
		close(on)
		r := <-done
		require.NoError(b.t, r.err)
		return r.a
	}
}

func rowOf(t testing.TB, p *pod, b *browser) *sessionstore.Session[gorillastore.Data] {
	t.Helper()
	got, err := p.Sessions().GetFresh(t.Context(), b.cookie.Value)
	require.NoError(t, err)
	return got
}
