package sessionstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// While the database is away a fresh pod goes on with what it has; everything else fails, closed, and says so.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pods := setup(t, 1, &config{BindGrace: time.Second, LookupTimeout: time.Second})
	p := pods[0]
	token, got := login(t, p, "ann", nil)
	cold, _ := login(t, p, "ann", nil)
	_, err := p.Get(ctx, token)
	require.NoError(t, err)
	stream, cancel := p.Bind(ctx, got)
	defer cancel()

	admin, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	admin.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, admin)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	name := pgx.Identifier{db.Name}.Sanitize()
	_, err = conn.Exec(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", db.Name)
	require.NoError(t, err)
	warm := 0
	for p.bus.Fresh() {
		if _, err := p.Get(ctx, token); err == nil {
			warm++
		}
	}
	require.Positive(t, warm)
	for _, tok := range []string{token, cold} {
		_, err = p.Get(ctx, tok)
		require.ErrorIs(t, err, sessionstore.ErrUnavailable)
		require.NotErrorIs(t, err, sessionstore.ErrNoSession)
		_, err = p.Revoke(ctx, tok)
		require.ErrorIs(t, err, sessionstore.ErrUnavailable)
		_, _, err = p.Rotate(ctx, tok, nil)
		require.ErrorIs(t, err, sessionstore.ErrUnavailable)
		require.ErrorIs(t, p.Save(ctx, tok, got), sessionstore.ErrUnavailable)
	}
	_, err = p.BeginLogin(ctx, "ann")
	require.ErrorIs(t, err, sessionstore.ErrUnavailable)
	_, err = p.PutOneTime(ctx, "k", nil, nil)
	require.ErrorIs(t, err, sessionstore.ErrUnavailable)
	ends(t, stream, sessionstore.ErrUnavailable)

	_, err = conn.Exec(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	require.NoError(t, err)
	storetest.Eventually(t, func() bool {
		_, err := p.Get(ctx, token)
		return err == nil && p.bus.Fresh()
	}, "all is well again")
}

// counting counts the lookups that the database sees at once.
type counting struct {
	mu        sync.Mutex
	now, most int
}

func (c *counting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.most = max(c.most, c.now)
	return ctx
}

func (c *counting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
}

// A flood of invented tokens of the right form fills no memory and does not take all of the pool.
func TestFlood(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	tracer := &counting{}
	poolConfig, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	poolConfig.MaxConns, poolConfig.ConnConfig.Tracer = 10, tracer
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b, err := bus.NewPostgres(db.Pool(t), storetest.QuickBus("a"))
	require.NoError(t, err)
	storetest.Background(t, b.Run)
	<-b.Ready()
	s, err := sessionstore.New(b, pool, &config{MaxLookups: 3, MaxWaiting: 50, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			id := uuid.New()
			other := uuid.New()
			_, err := s.Get(ctx, sessionstore.FormatToken(append(id[:], other[:]...)))
			if !errors.Is(err, sessionstore.ErrNotFound) && !errors.Is(err, sessionstore.ErrBusy) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stats := s.Stats()
	require.EqualValues(t, 1000, stats.Gets["not_found"]+stats.Gets["busy"])
	require.Positive(t, stats.Gets["busy"])
	require.LessOrEqual(t, tracer.most, 3)
	require.Zero(t, stats.Cache.Entries, "nothing is remembered of them")

	// Who waits leaves when its own time is over.
	tx := begin(t, db.Pool(t))
	_, err = tx.Exec(ctx, "LOCK TABLE pgcoherence.session")
	require.NoError(t, err)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = s.Get(short, sessionstore.FormatToken(make([]byte, 32)))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, sessionstore.ErrNoSession)
	require.NoError(t, tx.Rollback(ctx))
}
