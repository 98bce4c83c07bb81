package sessionstore_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

var template = &pgtest.Template{Name: "sessionstore", Make: func(ctx context.Context, dsn string) error {
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

// cart is the data of most tests. It holds a map, so that sharing it would be seen.
type cart struct {
	Items map[string]int `json:"items,omitempty"`
	Note  string         `json:"note,omitempty"`
}

type (
	store   = sessionstore.Store[cart]
	config  = sessionstore.Config[cart]
	session = sessionstore.Session[cart]
)

// pod is a bus and a store over a database that others use, too.
type pod struct {
	*store
	bus  *bus.Postgres
	pool *pgxpool.Pool
	stop func() // ends Run of the store
	halt func() // ends Run of the bus
}

func quickBus(name string) *bus.Config {
	return &bus.Config{
		Name: name, Logger: quiet,
		StaleAfter: 3 * time.Second, BeatInterval: 200 * time.Millisecond, SweepInterval: 30 * time.Millisecond,
	}
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
	b, err := bus.NewPostgres(pool, quickBus(name))
	require.NoError(t, err)
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
	p.halt = background(t, b.Run)
	select {
	case <-b.Ready():
	case <-time.After(30 * time.Second):
		require.Fail(t, "bus is not ready")
	}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return p
}

func (p *pod) run(t testing.TB) {
	t.Helper()
	p.stop = background(t, p.Run)
	eventually(t, func() bool { return p.Running() }, "Run runs")
}

// background runs something until stop is called, at the latest at the end of the test.
func background(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(30 * time.Second):
			require.Fail(t, "Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func eventually(t testing.TB, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, 30*time.Second, 5*time.Millisecond, what)
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
