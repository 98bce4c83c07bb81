package scsstore_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

// scs.New starts a goroutine of a store in memory, which nobody stops when that store is replaced.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

var quiet = slog.New(slog.DiscardHandler)

var template = &pgtest.Template{Name: "scsstore", Make: func(ctx context.Context, dsn string) error {
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

func userOf(values map[string]any) string {
	user, _ := values["user"].(string)
	return user
}

// pod is a program with a bus, a manager and a store of its own, over a database that others use, too.
type pod struct {
	*scs.SessionManager
	store *scsstore.Store
	bus   *bus.Postgres
	pool  *pgxpool.Pool
	web   *httptest.Server

	slow chan chan struct{} // requests to /slow, each waiting to be let go on
}

// options are how the pods of a test are.
type options struct {
	pods    int
	manager func(*scs.SessionManager)
	config  func(*scsstore.Config)
}

func setup(t testing.TB, o options) (*pgtest.DB, []*pod) {
	t.Helper()
	db := pgtest.New(t, template)
	all := make([]*pod, max(o.pods, 1))
	for i := range all {
		all[i] = newPod(t, db, string(rune('a'+i)), o)
	}
	return db, all
}

func newPod(t testing.TB, db *pgtest.DB, name string, o options) *pod {
	t.Helper()
	pool := db.Pool(t)
	b, err := bus.NewPostgres(pool, &bus.Config{
		Name: name, Logger: quiet, StaleAfter: 3 * time.Second, BeatInterval: 200 * time.Millisecond, SweepInterval: 30 * time.Millisecond,
	})
	require.NoError(t, err)
	p := &pod{SessionManager: scs.New(), bus: b, pool: pool, slow: make(chan chan struct{})}
	cfg := scsstore.Config{WithUser: userOf}
	cfg.Sessions.Logger, cfg.Sessions.SweepInterval = quiet, -1
	if o.manager != nil {
		o.manager(p.SessionManager)
	}
	if o.config != nil {
		o.config(&cfg)
	}
	p.store, err = scsstore.New(b, pool, p.SessionManager, &cfg)
	require.NoError(t, err)
	background(t, b.Run)
	select {
	case <-b.Ready():
	case <-time.After(30 * time.Second):
		require.Fail(t, "bus is not ready")
	}
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	background(t, p.store.Run)
	p.web = httptest.NewServer(p.LoadAndSave(p.handler()))
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
		ctx := r.Context()
		for _, word := range strings.Fields(r.URL.Query().Get("do")) {
			verb, rest, _ := strings.Cut(word, ":")
			key, value, _ := strings.Cut(rest, "=")
			var err error
			switch verb {
			case "put":
				p.Put(ctx, key, value)
			case "remove":
				p.Remove(ctx, key)
			case "big":
				p.Put(ctx, key, strings.Repeat("x", 100<<10))
			case "renew":
				err = p.RenewToken(ctx)
			case "destroy":
				err = p.Destroy(ctx)
			case "clear":
				err = p.Clear(ctx)
			case "begin":
				err = p.store.BeginLogin(ctx, key)
			case "deadline":
				var d time.Duration
				d, err = time.ParseDuration(key)
				p.SetDeadline(ctx, time.Now().Add(d))
			case "wait":
				on := make(chan struct{})
				p.slow <- on
				<-on
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusTeapot)
				return
			}
		}
		values := map[string]any{"deadline": p.Deadline(ctx)}
		for _, key := range p.Keys(ctx) {
			if !strings.HasPrefix(key, scsstore.ReservedKey) {
				values[key] = p.Get(ctx, key)
			}
		}
		_ = json.NewEncoder(w).Encode(values)
	})
}

// browser keeps a cookie and shows it to whichever pod it is sent to.
type browser struct {
	t      testing.TB
	cookie *http.Cookie
}

type answer struct {
	status int
	values map[string]any
	text   string
	set    *http.Cookie // what the answer has set
}

func (a answer) deadline(t testing.TB) time.Time {
	t.Helper()
	text, ok := a.values["deadline"].(string)
	require.True(t, ok, a.text)
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}

func (b *browser) do(p *pod, words string) answer {
	b.t.Helper()
	a, err := b.try(b.t.Context(), p, words)
	require.NoError(b.t, err)
	return a
}

// fine is do for what must be answered with values.
func (b *browser) fine(p *pod, words string) answer {
	b.t.Helper()
	a := b.do(p, words)
	require.Equal(b.t, http.StatusOK, a.status, a.text)
	return a
}

func (b *browser) try(ctx context.Context, p *pod, words string) (a answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.web.URL+"/?do="+url.QueryEscape(words), http.NoBody)
	if err != nil {
		return a, err
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
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
	for _, c := range response.Cookies() {
		a.set = c
		b.cookie = c
		if c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return a, nil
}

// copied is another tab, with the same cookie.
func (b *browser) copied() *browser { return &browser{b.t, b.cookie} }

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
