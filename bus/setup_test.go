package bus_test

import (
	"context"
	"flag"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

var endurance = flag.Duration("endurance", 8*time.Second, "how long TestEndurance runs")

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// template is a database with the schema and one table of an application.
var template = &pgtest.Template{Name: "bus", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return makeSchema(ctx, pool)
}}

func makeSchema(ctx context.Context, pool *pgxpool.Pool) error {
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, `CREATE TABLE item (id text PRIMARY KEY, value bigint NOT NULL DEFAULT 0);
		INSERT INTO item SELECT i::text FROM generate_series(1, 100) AS i`)
	return err
}

// quick makes everything that waits wait less, so that tests are about order and not about patience.
func quick(name string) *bus.Config {
	return &bus.Config{
		Name: name, Logger: quiet,
		StaleAfter: 3 * time.Second, BeatInterval: 200 * time.Millisecond, SweepInterval: 30 * time.Millisecond,
	}
}

// recorder is a subscriber that remembers.
type recorder struct {
	mu         sync.Mutex
	deliveries []bus.Delivery
	keys       map[string]int
	resets     []bus.Reason
}

func (r *recorder) Invalidate(d bus.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]int{}
	}
	r.deliveries = append(r.deliveries, d)
	for _, k := range d.Keys {
		r.keys[k]++
	}
	if d.All {
		r.keys["*"]++
	}
}

func (r *recorder) Reset(reason bus.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resets = append(r.resets, reason)
}

func (r *recorder) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[key] > 0
}

func (r *recorder) count(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[key]
}

func (r *recorder) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.deliveries)
}

func (r *recorder) reasons() []bus.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.resets)
}

func (r *recorder) all() []bus.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.deliveries)
}

// pod is a running bus with a recorder on the topic item.
type pod struct {
	*bus.Postgres
	*recorder
	name string
	stop func()
	err  chan error
}

// start runs a bus and waits until it is in sync.
func start(t testing.TB, pool *pgxpool.Pool, cfg *bus.Config) *pod {
	t.Helper()
	p := prepare(t, pool, cfg)
	p.run(t)
	p.waitReady(t)
	return p
}

func prepare(t testing.TB, pool *pgxpool.Pool, cfg *bus.Config) *pod {
	t.Helper()
	b, err := bus.NewPostgres(pool, cfg)
	require.NoError(t, err)
	p := &pod{Postgres: b, recorder: &recorder{}, err: make(chan error, 1)}
	if cfg != nil {
		p.name = cfg.Name
	}
	t.Cleanup(b.Subscribe("item", p.recorder))
	return p
}

func (p *pod) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		p.err <- p.Run(ctx)
		close(done)
	}()
	p.stop = func() { cancel(); <-done }
	t.Cleanup(p.stop)
}

func (p *pod) waitReady(t testing.TB) {
	t.Helper()
	select {
	case <-p.Ready():
	case err := <-p.err:
		t.Fatalf("bus ended before it was ready: %v", err)
	case <-time.After(patience):
		t.Fatalf("bus not ready: %+v", p.Stats())
	}
}

// patience bounds every wait of a test: long, for a slow machine, and only ever reached by a failure.
const patience = 30 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, condition func() bool, message string, args ...any) {
	t.Helper()
	require.Eventually(t, condition, patience, 2*time.Millisecond, append([]any{message}, args...)...)
}

// setup is a database with the schema and a pool on it.
func setup(t testing.TB) (*pgtest.DB, *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, template)
	pool := db.Pool(t)
	return db, pool
}

// lazyPool is a pool that never connects.
func lazyPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
