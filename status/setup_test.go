package status_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

const token = "correct horse battery staple"

// patience bounds every wait of a test: long, for a slow machine, and only ever reached by a failure.
const patience = 30 * time.Second

func eventually(t testing.TB, condition func() bool, message string, args ...any) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, append([]any{message}, args...)...)
}

var template = &pgtest.Template{Name: "status", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet})
}}

// fakeBus is a bus that says what it is told, with 50 pods behind it.
type fakeBus struct {
	*bus.Local
	ready chan struct{}

	mu    sync.Mutex
	state bus.State
	fresh bool
	pods  []bus.Pod
	err   error
	asked int
}

func newFakeBus() *fakeBus {
	return &fakeBus{Local: bus.NewLocal(), ready: make(chan struct{}), state: bus.Starting}
}

func (b *fakeBus) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *fakeBus) Ready() <-chan struct{} { return b.ready }
func (b *fakeBus) ID() string             { return "self" }

func (b *fakeBus) State() bus.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

func (b *fakeBus) Fresh() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fresh
}

func (b *fakeBus) Cluster(context.Context, time.Duration) (bus.Cluster, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return bus.Cluster{Pods: b.pods}, b.err
}

// live makes the bus live and ready.
func (b *fakeBus) live() *fakeBus {
	b.state, b.fresh = bus.Live, true
	close(b.ready)
	return b
}

func newHandler(t testing.TB, b status.Bus, cfg *status.Config) *status.Handler {
	t.Helper()
	if cfg == nil {
		cfg = &status.Config{}
	}
	cfg.Logger = quiet
	h, err := status.New(b, cfg)
	require.NoError(t, err)
	return h
}

// get asks a handler; headers come in pairs.
func get(t testing.TB, h http.Handler, path string, headers ...string) (code int, body string, head http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Result()
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text), answer.Header
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// newCache is a real cache that loads the key itself.
func newCache(t testing.TB, b bus.Bus, topic string) *cache.Cache[string, string] {
	t.Helper()
	c, err := cache.New(b, topic, cache.Func(func(_ context.Context, key string) (string, error) { return key, nil }),
		&cache.Config[string, string]{Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// pingTier is a tier that answers or not.
type pingTier struct {
	mu   sync.Mutex
	err  error
	size int64
}

func (p *pingTier) Ping(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *pingTier) Size() int64 { return p.size }

var _ prometheus.Collector = (*fakeBus)(nil)

// startBus runs a bus with short intervals until the test ends, and waits until it is in sync.
func startBus(t testing.TB, pool *pgxpool.Pool, cfg *bus.Config) *bus.Postgres {
	t.Helper()
	cfg.Logger, cfg.BeatInterval, cfg.SweepInterval = quiet, 200*time.Millisecond, 30*time.Millisecond
	b, err := bus.NewPostgres(pool, cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})

	select {
	case <-b.Ready():
	case <-time.After(patience):
		require.Fail(t, "bus is not ready", "%+v", b.Stats())
	}

	return b
}
