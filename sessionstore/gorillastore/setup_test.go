package gorillastore_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var template = storetest.Template("gorillastore")

const cookieName = "visit"

func userOf(values map[any]any) string {
	user, _ := values["user"].(string)
	return user
}

// pod is a program with a bus and a store of its own, over a database that others use, too.
type pod struct {
	*gorillastore.Store
	storetest.Site
	bus  *bus.Postgres
	pool *pgxpool.Pool
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
	b := storetest.NewBus(t, pool, name)
	cfg := gorillastore.Config{WithUser: userOf}
	cfg.Sessions.Logger, cfg.Sessions.SweepInterval = storetest.Quiet(), -1
	if config != nil {
		config(&cfg)
	}

	s, err := gorillastore.New(b, pool, &cfg)
	require.NoError(t, err)
	p := &pod{Store: s, bus: b, pool: pool}
	storetest.RunBus(t, b)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	storetest.Background(t, s.Run)
	p.Serve(t, p.handler())
	return p
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
	case "provider":
		p.FromProvider(session, "https://idp.example", key)
	case "save":
		return session.Save(r, w)
	case "saveall":
		return sessions.Save(r, w)
	case "wait":
		p.Wait()
	}

	return nil
}

func rowOf(t testing.TB, p *pod, b *storetest.Browser) *sessionstore.Session[gorillastore.Data] {
	t.Helper()
	got, err := p.Sessions().GetFresh(t.Context(), b.Cookie.Value)
	require.NoError(t, err)
	return got
}
