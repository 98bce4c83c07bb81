package scsstore_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

// scs.New starts a goroutine of a store in memory, which nobody stops when that store is replaced.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

var template = storetest.Template("scsstore")

func userOf(values map[string]any) string {
	user, _ := values["user"].(string)
	return user
}

// pod is a program with a bus, a manager and a store of its own, over a database that others use, too.
type pod struct {
	*scs.SessionManager
	storetest.Site
	store *scsstore.Store
	bus   *bus.Postgres
	pool  *pgxpool.Pool
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
	b := storetest.NewBus(t, pool, name)
	p := &pod{SessionManager: scs.New(), bus: b, pool: pool}
	cfg := scsstore.Config{WithUser: userOf}
	cfg.Sessions.Logger, cfg.Sessions.SweepInterval = storetest.Quiet(), -1

	if o.manager != nil {
		o.manager(p.SessionManager)
	}
	if o.config != nil {
		o.config(&cfg)
	}

	var err error
	p.store, err = scsstore.New(b, pool, p.SessionManager, &cfg)
	require.NoError(t, err)
	storetest.RunBus(t, b)
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	storetest.Background(t, p.store.Run)
	p.Serve(t, p.store.Handler(p.LoadAndSave(p.handler())))
	return p
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
			case "revoke-all":
				_, err = p.store.Sessions().RevokeUser(ctx, key)
			case "wait":
				p.Wait()
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

func deadlineOf(t testing.TB, a storetest.Answer) time.Time {
	t.Helper()
	text, ok := a.Values["deadline"].(string)
	require.True(t, ok, a.Text)
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}
