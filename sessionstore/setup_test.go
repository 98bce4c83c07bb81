package sessionstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/door"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// quiet keeps expected warnings out of the test's output.
var quiet = storetest.Quiet()

var template = storetest.Template("sessionstore")

// cart is the data of most tests. It holds a map, so that sharing it would be seen.
type cart struct {
	Items map[string]int `json:"items,omitempty"`
	Note  string         `json:"note,omitempty"`
}

type (
	store   = sessionstore.Store[cart]
	config  = sessionstore.Config[cart]
	session = sessionstore.Session[cart]

	commitOptions = door.CommitOptions[cart, sessionstore.Login, sessionstore.Policy, sessionstore.Device]
)

// pod is a bus and a store over a database that others use, too.
type pod struct {
	*store
	bus  *bus.Postgres
	pool *pgxpool.Pool
	stop func() // ends Run of the store
	halt func() // ends Run of the bus
}

// setup makes a database and pods that run on it, each with a pool of its own.
func setup(t testing.TB, pods int, cfg *config) (*pgtest.DB, []*pod) {
	t.Helper()
	db := pgtest.New(t, template)
	all := make([]*pod, pods)
	for i := range all {
		all[i] = newPod(t, db, string(rune('a'+i)), cfg)
	}
	return db, all
}

// one is setup with a single pod.
func one(t testing.TB, cfg *config) (*pgtest.DB, *pod) {
	t.Helper()
	db, all := setup(t, 1, cfg)
	return db, all[0]
}

func newPod(t testing.TB, db *pgtest.DB, name string, cfg *config) *pod {
	t.Helper()
	p := idlePod(t, db, name, cfg)
	p.run(t)
	return p
}

// idlePod has a bus that runs and a store that does not.
func idlePod(t testing.TB, db *pgtest.DB, name string, cfg *config) *pod {
	t.Helper()
	pool := db.Pool(t)
	b := storetest.NewBus(t, pool, name)
	c := config{}
	if cfg != nil {
		c = *cfg
	}
	if c.Logger == nil {
		c.Logger = quiet
	}
	if c.SweepInterval == 0 {
		c.SweepInterval = -1 // tests sweep when they mean to
	}

	s, err := sessionstore.New(b, pool, &c)
	require.NoError(t, err)
	p := &pod{store: s, bus: b, pool: pool, stop: func() {}}
	p.halt = storetest.RunBus(t, b)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return p
}

func (p *pod) run(t testing.TB) {
	t.Helper()
	p.stop = storetest.Background(t, p.Run)
	storetest.Eventually(t, func() bool { return p.Running() }, "Run runs")
}

// login is a whole login.
func login(t testing.TB, p *pod, user string, o *sessionstore.CreateOptions) (token string, got *session) {
	t.Helper()
	l, err := p.BeginLogin(t.Context(), user)
	require.NoError(t, err)
	token, got, err = p.Create(t.Context(), l, cart{Items: map[string]int{"tea": 1}}, o)
	require.NoError(t, err)
	return token, got
}

// confirmed waits until no pod can serve what was ended.
func confirmed(t testing.TB, p *pod, r bus.Receipt, err error) {
	t.Helper()
	require.NoError(t, err)
	require.False(t, r.IsZero())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, p.bus.Confirm(ctx, r))
}

// begin begins a transaction that ends with the test at the latest, whatever fails.
func begin(t testing.TB, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}
