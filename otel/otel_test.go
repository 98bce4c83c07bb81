package otel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
	"github.com/pgcoherence/pgcoherence/lock"
	pgotel "github.com/pgcoherence/pgcoherence/otel"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var quiet = slog.New(slog.DiscardHandler)

// secret is in every key, name and token here, and must be in no span.
const secret = "hunter2"

var template = tables.Template("otel")

func setup(t *testing.T) (*tracetest.SpanRecorder, *pgotel.Tracer) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	t.Cleanup(func() {
		require.NoError(t, provider.Shutdown(context.Background()))
		for _, s := range recorder.Ended() {
			require.NotContains(t, fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()), secret)
		}
	})
	return recorder, pgotel.New(provider)
}

// last is the span that ended last.
func last(t *testing.T, r *tracetest.SpanRecorder, name string) (attributes map[string]string, span trace.ReadOnlySpan) {
	t.Helper()
	all := r.Ended()
	require.NotEmpty(t, all)
	span = all[len(all)-1]
	require.Equal(t, "pgcoherence "+name, span.Name())
	attributes = make(map[string]string)
	for _, a := range span.Attributes() {
		attributes[string(a.Key)] = a.Value.Emit()
	}
	return attributes, span
}

func TestBus(t *testing.T) {
	t.Parallel()
	spans, tracer := setup(t)
	inner, err := bus.NewPostgres(pgtest.New(t, template).Pool(t), &bus.Config{Logger: quiet})
	require.NoError(t, err)
	b := tracer.Bus(inner)
	_, err = b.Publish(t.Context(), bus.Event{Topic: "users", Keys: []string{secret, "b"}}, bus.Event{Topic: "orders", All: true})
	require.NoError(t, err)
	attributes, span := last(t, spans, "publish")
	require.Equal(t, `["users","orders"]`, attributes["pgcoherence.topics"])
	require.Equal(t, "2", attributes["pgcoherence.keys"])
	require.Equal(t, codes.Unset, span.Status().Code)

	r, err := b.InTx(t.Context(), func(tx *bus.Tx) error { tx.Invalidate("users", secret); return nil })
	require.NoError(t, err)
	require.False(t, r.IsZero())
	attributes, _ = last(t, spans, "transaction")
	require.Equal(t, "true", attributes["pgcoherence.invalidates"])

	require.ErrorIs(t, b.Confirm(t.Context(), r), bus.ErrNotRunning)
	_, span = last(t, spans, "confirm")
	require.Equal(t, codes.Error, span.Status().Code)
	require.Empty(t, span.Status().Description)
}

// TestCacheOnWrappedBus: to a cache the wrapper is the bus, positions included, and what the cache publishes is a span.
func TestCacheOnWrappedBus(t *testing.T) {
	t.Parallel()
	spans, tracer := setup(t)
	inner, err := bus.NewPostgres(pgtest.New(t, template).Pool(t), &bus.Config{Logger: quiet})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- inner.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()

	<-inner.Ready()
	load := cache.Func(func(_ context.Context, key string) (string, error) { return key, nil })
	users, err := cache.New(tracer.Bus(inner), "users", pgotel.Loader(tracer, "users", load), &cache.Config[string, string]{
		Logger: quiet, WhenStale: cache.ServeFor(time.Second), // refused on a bus that does not tell its positions
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, users.Close()) }()

	_, err = users.Get(t.Context(), secret)
	require.NoError(t, err)
	last(t, spans, "load")
	require.Eventually(t, func() bool { _, err := users.Peek(secret); return err == nil }, 30*time.Second, time.Millisecond)
	r, err := users.Invalidate(t.Context(), secret)
	require.NoError(t, err)
	require.False(t, r.IsZero())
	attributes, _ := last(t, spans, "publish")
	require.Equal(t, `["users"]`, attributes["pgcoherence.topics"])
	_, err = users.Peek(secret)
	require.ErrorIs(t, err, cache.ErrNotCached, "the pod's own cache has dropped it")
}

type batch struct{ err error }

func (b batch) Load(_ context.Context, key string) (cache.Loaded[string], error) {
	return cache.Loaded[string]{Value: key}, b.err
}

func (b batch) LoadMany(_ context.Context, keys []string) (map[string]cache.Loaded[string], error) {
	return map[string]cache.Loaded[string]{keys[0]: {Value: keys[0]}}, b.err
}

func TestLoader(t *testing.T) {
	t.Parallel()
	spans, tracer := setup(t)
	l := pgotel.Loader[string, string](tracer, "users", batch{})
	v, err := l.Load(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, secret, v.Value)
	attributes, _ := last(t, spans, "load")
	require.Equal(t, "users", attributes["pgcoherence.topic"])
	many, ok := l.(cache.BatchLoader[string, string])
	require.True(t, ok, "it stays what it was")
	_, err = many.LoadMany(t.Context(), []string{secret, "b"})
	require.NoError(t, err)
	attributes, _ = last(t, spans, "load many")
	require.Equal(t, "2", attributes["pgcoherence.keys"])
	require.Equal(t, "1", attributes["pgcoherence.found"])

	_, ok = pgotel.Loader(tracer, "users", cache.Func(func(context.Context, string) (string, error) { return "", nil })).(cache.BatchLoader[string, string])
	require.False(t, ok)
	for err, code := range map[error]codes.Code{cache.ErrNotFound: codes.Unset, context.Canceled: codes.Unset, errors.New(secret): codes.Error} {
		_, got := pgotel.Loader[string, string](tracer, "users", batch{err}).Load(t.Context(), secret)
		require.ErrorIs(t, got, err)
		_, span := last(t, spans, "load")
		require.Equal(t, code, span.Status().Code, "%v", err)
	}
}

func TestLockerAndSessions(t *testing.T) {
	t.Parallel()
	spans, tracer := setup(t)
	pool := pgtest.New(t, template).Pool(t)
	b, err := bus.NewPostgres(pool, &bus.Config{Logger: quiet})
	require.NoError(t, err)
	locker, err := lock.New(b, pool, &lock.Config{Logger: quiet})
	require.NoError(t, err)
	store, err := sessionstore.New[string](b, pool, &sessionstore.Config[string]{Logger: quiet})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- locker.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()

	locks := tracer.Locker(locker)
	require.NoError(t, locks.Do(t.Context(), secret, func(ctx context.Context, l *lock.Lease) error {
		require.Positive(t, l.Token())
		return nil
	}))
	_, outer := last(t, spans, "lock do")
	within := spans.Ended()[len(spans.Ended())-2]
	require.Equal(t, "pgcoherence lock held", within.Name())
	require.Equal(t, outer.SpanContext().SpanID(), within.Parent().SpanID())
	lease, err := locks.Acquire(t.Context(), secret)
	require.NoError(t, err)
	attributes, _ := last(t, spans, "lock acquire")
	require.NotEmpty(t, attributes["pgcoherence.lock.token"])
	_, err = locks.TryAcquire(t.Context(), secret)
	require.ErrorIs(t, err, lock.ErrHeld)
	attributes, span := last(t, spans, "lock try")
	require.Equal(t, "true", attributes["pgcoherence.lock.held"])
	require.Equal(t, codes.Unset, span.Status().Code)
	require.NoError(t, lease.Release(t.Context()))
	requireShares(t, spans, locks)

	sessions := pgotel.Sessions(tracer, store)
	login, err := sessions.BeginLogin(t.Context(), secret)
	require.NoError(t, err)
	token, _, err := sessions.Create(t.Context(), login, secret, nil)
	require.NoError(t, err)
	last(t, spans, "session create")
	_, err = sessions.Get(t.Context(), token)
	require.NoError(t, err)
	last(t, spans, "session get")
	_, err = sessions.RevokeUser(t.Context(), secret)
	require.NoError(t, err)
	last(t, spans, "session revoke user")
	_, err = sessions.Get(t.Context(), token)
	require.Error(t, err)
	attributes, span = last(t, spans, "session get")
	require.Equal(t, "true", attributes["pgcoherence.session.gone"])
	require.Equal(t, codes.Unset, span.Status().Code)
	for _, s := range spans.Ended() {
		require.NotContains(t, fmt.Sprint(s.Attributes()), token)
	}
}

// requireShares: shared leases, semaphores and several leases at once make the spans that one lease does, and say how they
// are held.
func requireShares(t *testing.T, spans *tracetest.SpanRecorder, locks *pgotel.Locker) {
	t.Helper()
	ctx := t.Context()
	semaphore, err := locks.Semaphore(secret, 2)
	require.NoError(t, err)
	_, err = locks.Semaphore(secret, 0)
	require.ErrorIs(t, err, lock.ErrConfig)
	for mode, ways := range map[string]struct {
		acquire, try func(context.Context) (*lock.Lease, error)
		do           func(context.Context, func(context.Context, *lock.Lease) error) error
	}{
		"shared": {
			func(ctx context.Context) (*lock.Lease, error) { return locks.AcquireShared(ctx, secret) },
			func(ctx context.Context) (*lock.Lease, error) { return locks.TryAcquireShared(ctx, secret) },
			func(ctx context.Context, fn func(context.Context, *lock.Lease) error) error {
				return locks.DoShared(ctx, secret, fn)
			},
		},
		"semaphore": {semaphore.Acquire, semaphore.TryAcquire, semaphore.Do},
	} {
		one, err := ways.acquire(ctx)
		require.NoError(t, err)
		attributes, _ := last(t, spans, "lock acquire")
		require.Equal(t, mode, attributes["pgcoherence.lock.mode"])
		require.NotEmpty(t, attributes["pgcoherence.lock.token"])
		two, err := ways.try(ctx)
		require.NoError(t, err)
		attributes, _ = last(t, spans, "lock try")
		require.Equal(t, "false", attributes["pgcoherence.lock.held"])
		_, err = locks.TryAcquire(ctx, secret)
		require.ErrorIs(t, err, lock.ErrHeld)
		require.NoError(t, errors.Join(one.Release(ctx), two.Release(ctx)))
		require.NoError(t, ways.do(ctx, func(context.Context, *lock.Lease) error { return nil }))
		attributes, _ = last(t, spans, "lock do")
		require.Equal(t, mode, attributes["pgcoherence.lock.mode"])
	}

	many, err := locks.AcquireMany(ctx, secret, secret+"2")
	require.NoError(t, err)
	attributes, _ := last(t, spans, "lock acquire")
	require.Equal(t, "2", attributes["pgcoherence.lock.keys"])
	_, err = locks.TryAcquireMany(ctx, secret, secret+"3")
	require.ErrorIs(t, err, lock.ErrHeld)
	attributes, span := last(t, spans, "lock try")
	require.Equal(t, "true", attributes["pgcoherence.lock.held"])
	require.Equal(t, codes.Unset, span.Status().Code)
	for _, lease := range many {
		require.NoError(t, lease.Release(ctx))
	}
}
