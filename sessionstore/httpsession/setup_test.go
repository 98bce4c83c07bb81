package httpsession_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var (
	quiet    = storetest.Quiet()
	template = storetest.Template("httpsession")
)

// cart is the data of the tests' sessions.
type cart struct {
	Note  string
	Items map[string]int
}

// pod is a process of the application.
type pod struct {
	*httpsession.Manager[cart]
	store   *sessionstore.Store[cart]
	bus     *bus.Postgres
	pool    *pgxpool.Pool
	handler http.Handler
	halt    func() // stops the bus
}

// setup makes pods over one database, all configured the same way.
func setup(t *testing.T, pods int, cfg *httpsession.Config, store *sessionstore.Config[cart]) (*pgtest.DB, []*pod) {
	t.Helper()
	db := pgtest.New(t, template)
	all := make([]*pod, pods)
	for i := range all {
		all[i] = newPod(t, db, string(rune('a'+i)), cfg, store)
	}
	return db, all
}

func newPod(t *testing.T, db *pgtest.DB, name string, cfg *httpsession.Config, store *sessionstore.Config[cart]) *pod {
	t.Helper()
	var c httpsession.Config
	if cfg != nil {
		c = *cfg
	}
	c.Logger = quiet
	var sc sessionstore.Config[cart]
	if store != nil {
		sc = *store
	}
	sc.Logger, sc.SweepInterval = quiet, -1

	p := &pod{pool: db.Pool(t)}
	p.bus = storetest.NewBus(t, p.pool, name)
	var err error
	p.store, err = sessionstore.New(p.bus, p.pool, &sc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	p.halt = storetest.RunBus(t, p.bus)
	storetest.Background(t, p.store.Run)
	<-p.store.Ready()
	p.Manager, err = httpsession.New(p.store, &c)
	require.NoError(t, err)
	p.handler = p.Handler(p.routes())
	return p
}

// routes is a small application.
func (p *pod) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		got, err := p.Get(r)
		if err != nil {
			p.Error(w, r, err)
			return
		}
		_, _ = w.Write([]byte(got.User + " " + got.Data.Note))
	})

	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		login, err := p.store.BeginLogin(r.Context(), r.URL.Query().Get("user"))
		if err == nil {
			o := &httpsession.LoginOptions{Persist: r.URL.Query().Has("persist")}
			_, err = p.Login(w, r, login, cart{}, o)
		}
		p.finish(w, r, err)
	})

	mux.HandleFunc("POST /again", func(w http.ResponseWriter, r *http.Request) {
		login, err := p.store.BeginLogin(r.Context(), r.URL.Query().Get("user"))
		if err == nil {
			_, err = p.Reauthenticate(w, r, login)
		}
		p.finish(w, r, err)
	})

	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		_, err := p.Start(w, r, cart{Note: "started"})
		p.finish(w, r, err)
	})

	mux.HandleFunc("POST /note", func(w http.ResponseWriter, r *http.Request) {
		_, err := p.Update(w, r, func(c *cart) error {
			c.Note = r.URL.Query().Get("note")
			return nil
		})
		p.finish(w, r, err)
	})

	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		_, err := p.Logout(w, r)
		p.finish(w, r, err)
	})
	mux.HandleFunc("POST /everywhere", func(w http.ResponseWriter, r *http.Request) {
		_, err := p.LogoutEverywhere(w, r)
		p.finish(w, r, err)
	})
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/member", p.Require(ok))
	mux.Handle("/recent", p.RequireRecent(time.Hour, ok))
	mux.Handle("/just", p.RequireRecent(time.Nanosecond, ok))
	return mux
}

func (p *pod) finish(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		p.Error(w, r, err)
	}
}

// browser keeps cookies by name, as browsers do.
type browser struct {
	t       *testing.T
	mu      sync.Mutex
	cookies map[string]string
}

func newBrowser(t *testing.T) *browser { return &browser{t: t, cookies: map[string]string{}} }

// request is one that is being sent now, with the cookies of now.
func (b *browser) request(method, path string) *http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := httptest.NewRequest(method, path, http.NoBody)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// reply is what a browser gets.
type reply struct {
	status  int
	header  http.Header
	body    string
	cookies []*http.Cookie
}

// receive takes the cookies of a response.
func (b *browser) receive(r reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range r.cookies {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
}

// late sends a request and returns its response, which arrives when arrive is called.
func (b *browser) late(p *pod, method, path string) (r reply, arrive func()) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, b.request(method, path))
	r = reply{status: w.Code, header: w.Header(), body: strings.TrimSpace(w.Body.String())}
	for _, line := range w.Header().Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err == nil {
			r.cookies = append(r.cookies, c)
		}
	}
	return r, func() { b.receive(r) }
}

func (b *browser) do(p *pod, method, path string) (status int, body string) {
	r, arrive := b.late(p, method, path)
	arrive()
	return r.status, r.body
}

func (b *browser) fine(p *pod, method, path string) string {
	b.t.Helper()
	status, body := b.do(p, method, path)
	require.Equal(b.t, http.StatusOK, status, body)
	return body
}

// sessionCookies are the names of those that hold a token.
func (b *browser) sessionCookies() (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.cookies {
		if cookiename.Is("__Host-session", name) {
			names = append(names, name)
		}
	}
	return names
}

// copied is the same browser as of now, which then goes on alone.
func (b *browser) copied() *browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := newBrowser(b.t)
	for name, value := range b.cookies {
		c.cookies[name] = value
	}
	return c
}

func noteOf(text string) string { return "/note?note=" + url.QueryEscape(text) }

// age makes all tokens look as old as that, and the pods know it.
func (b *browser) age(pods []*pod, interval string) {
	b.t.Helper()
	_, err := pods[0].pool.Exec(b.t.Context(), "UPDATE pgcoherence.session SET rotated_at = rotated_at - $1::text::interval", interval)
	require.NoError(b.t, err)
	for _, name := range b.sessionCookies() {
		token, _, _ := strings.Cut(b.cookies[name], "~")
		for _, p := range pods {
			_, err := p.store.GetFresh(b.t.Context(), token)
			require.NoError(b.t, err)
		}
	}
}
