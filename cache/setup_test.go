package cache_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(m),
		// golang-lru's cache with TTLs, which benchmarks compare with, cannot be ended.
		goleak.IgnoreAnyFunction("github.com/hashicorp/golang-lru/v2/expirable.NewLRU[...].func1"))
}

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// patience bounds every wait of a test: long, for a slow machine, and only ever reached by a failure.
const patience = 30 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, condition func() bool, message string, args ...any) {
	t.Helper()
	require.Eventually(t, condition, patience, 2*time.Millisecond, append([]any{message}, args...)...)
}

// config is one without randomness and noise.
func config() *cache.Config[string, int] {
	return &cache.Config[string, int]{Jitter: -1, Logger: quiet}
}

// impatient is a configuration without a pause after failed loads.
func impatient(cfg *cache.Config[string, int]) *cache.Config[string, int] {
	cfg.FailureBackoff = -1
	return cfg
}

// table is what a loader reads, and a gate that a load can be held at after it has read.
type table struct {
	mu    sync.Mutex
	rows  map[string]int
	tags  map[string][]string
	at    func(key string) cache.Snapshot // what a load says it was read in; nil: nothing
	loads atomic.Int64

	// If set, a load says on began that it has read, and waits for an item of release.
	began   chan string
	release chan struct{}
}

func newTable() *table { return &table{rows: map[string]int{}, tags: map[string][]string{}} }

func (tb *table) set(key string, value int, tags ...string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.rows[key] = value
	tb.tags[key] = tags
}

func (tb *table) remove(key string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	delete(tb.rows, key)
}

// hold makes loads wait after they have read.
func (tb *table) hold() {
	tb.began, tb.release = make(chan string), make(chan struct{})
}

func (tb *table) Load(ctx context.Context, key string) (cache.Loaded[int], error) {
	tb.loads.Add(1)
	tb.mu.Lock()
	value, ok := tb.rows[key]
	l := cache.Loaded[int]{Value: value, Tags: tb.tags[key]}
	if tb.at != nil {
		l.Snapshot = tb.at(key)
	}

	tb.mu.Unlock()

	if tb.began != nil {
		select {
		case tb.began <- key:
		case <-ctx.Done():
			return cache.Loaded[int]{}, ctx.Err()
		}
		select {
		case <-tb.release:
		case <-ctx.Done():
			return cache.Loaded[int]{}, ctx.Err()
		}
	}

	if !ok {
		return l, cache.ErrNotFound
	}

	return l, nil
}

// make a cache that is closed at the test's end.
func open[K comparable, V any](
	t testing.TB, b bus.Bus, load cache.Loader[K, V], cfg *cache.Config[K, V],
) *cache.Cache[K, V] {
	t.Helper()
	c, err := cache.New(b, "item", load, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func get(t testing.TB, c *cache.Cache[string, int], key string) int {
	t.Helper()
	v, err := c.Get(t.Context(), key)
	require.NoError(t, err)
	return v
}

// answer is what a Get in another goroutine came to.
type answer struct {
	value int
	err   error
}

// ask calls f in a goroutine.
func ask(f func() (int, error)) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		v, err := f()
		ch <- answer{v, err}
	}()
	return ch
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// fake is a bus with a position, whose state a test sets.
type fake struct {
	mu          sync.Mutex
	subscribers []bus.Subscriber
	age         time.Duration
	proven      time.Time
	epoch       string
	at          position.Snapshot
	noPosition  bool
	lease       time.Duration // of Extend; zero: anything goes
	extended    time.Duration
	next        uint64
	during      func() // runs once, after the position was read
	sweeps      int    // asked for
}

var (
	_ hook.Source  = (*fake)(nil)
	_ hook.Sweeper = (*fake)(nil)
)

// Sweep implements hook.Sweeper.
func (f *fake) Sweep() { f.set(func(f *fake) { f.sweeps++ }) }

func (f *fake) Internal(hook.Token) hook.Source { return f }

func newFake() *fake {
	return &fake{epoch: "e1", at: position.Snapshot{Xmin: 100, Xmax: 100}, proven: time.Now().Add(time.Hour), next: 100}
}

func (f *fake) Publish(_ context.Context, events ...bus.Event) (bus.Receipt, error) {
	f.mu.Lock()
	f.next++
	xid := f.next
	f.mu.Unlock()
	for _, e := range events {
		f.deliver(bus.Delivery{Event: e, Local: true, XIDs: []uint64{xid}})
	}
	return bus.Receipt{}, nil
}

func (f *fake) Confirm(context.Context, bus.Receipt) error { return nil }

func (f *fake) Subscribe(_ string, s bus.Subscriber) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribers = append(f.subscribers, s)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, other := range f.subscribers {
			if other == s {
				f.subscribers = append(f.subscribers[:i:i], f.subscribers[i+1:]...)
			}
		}
	}
}

func (f *fake) deliver(d bus.Delivery) {
	d.Topic = "item"
	f.each(func(s bus.Subscriber) { s.Invalidate(d) })
}

func (f *fake) key(xid uint64, keys ...string) {
	f.deliver(bus.Delivery{Event: bus.Event{Keys: keys}, XIDs: []uint64{xid}})
}

func (f *fake) reset(r bus.Reason) { f.each(func(s bus.Subscriber) { s.Reset(r) }) }

func (f *fake) each(call func(bus.Subscriber)) {
	f.mu.Lock()
	list := append([]bus.Subscriber(nil), f.subscribers...)
	f.mu.Unlock()
	for _, s := range list {
		call(s)
	}
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Fresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.age >= 0 && f.age < bus.DefaultStaleAfter
}

func (f *fake) State() bus.State { return bus.Live }

func (f *fake) FreshAge(elapsed.Instant) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.age
}

func (f *fake) StaleAfter() time.Duration { return bus.DefaultStaleAfter }

func (f *fake) ProvenSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.proven.After(t)
}

func (f *fake) Position() (string, position.Snapshot, bool) {
	f.mu.Lock()
	epoch, at, ok, during := f.epoch, f.at, !f.noPosition, f.during
	f.during = nil
	f.mu.Unlock()
	if during != nil {
		during()
	}
	return epoch, at, ok
}

func (f *fake) Extend(window time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extended = max(f.extended, window)
	if f.lease > 0 && window > f.lease {
		return bus.ErrConfig
	}
	return nil
}

// foreign is a bus of somebody else's: nothing but bus.Bus.
type foreign struct{ bus.Bus }

// template is a database with the schema and one table of an application.
var template = &pgtest.Template{Name: "cache", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `CREATE TABLE item (id text PRIMARY KEY, value bigint NOT NULL);
		INSERT INTO item SELECT i::text, 0 FROM generate_series(1, 20) AS i`)
	return err
}}

// pod runs a bus on the test's database and waits until it is in sync.
func pod(t testing.TB, pool *pgxpool.Pool) *bus.Postgres {
	t.Helper()
	b, err := bus.NewPostgres(pool, &bus.Config{
		Logger: quiet, BeatInterval: 200 * time.Millisecond, SweepInterval: 30 * time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	receive(t, b.Ready())
	eventually(t, b.Fresh, "fresh")
	return b
}

// peek returns what a cache holds of a key, and whether that is a value.
func peek[K comparable, V any](c *cache.Cache[K, V], key K) (V, bool) {
	v, err := c.Peek(key)
	return v, err == nil
}
