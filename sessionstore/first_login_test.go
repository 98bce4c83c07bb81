package sessionstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// statements counts what a pool sends.
type statements struct{ atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.Add(1)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A login is two statements, the first of a user as well as the next.
func TestStatementsOfALogin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	sent := &statements{}
	config.ConnConfig.Tracer = sent
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := sessionstore.New[cart](bus.NewLocal(), pool, &sessionstore.Config[cart]{Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	for i := range 3 {
		for range 2 {
			before := sent.Load()
			l, err := s.BeginLogin(ctx, fmt.Sprint("user ", i))
			require.NoError(t, err)
			_, _, err = s.Create(ctx, l, cart{}, nil)
			require.NoError(t, err)
			require.EqualValues(t, 2, sent.Load()-before)
		}
	}
}

// A first login in a transaction whose snapshot is from before the user was deleted, or all sessions ended, begins no
// session, whatever the isolation level, by option or by default.
func TestFirstLoginUnderOldSnapshot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, p := one(t, nil)
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		for name, end := range map[string]func(user string) (bus.Receipt, error){
			"forget": func(user string) (bus.Receipt, error) { return p.ForgetUser(ctx, user) },
			"all":    func(string) (bus.Receipt, error) { return p.RevokeAll(ctx) },
		} {
			user := fmt.Sprint(level, " ", name)
			l, err := p.BeginLogin(ctx, user)
			require.NoError(t, err)
			tx, err := p.bus.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			_, err = tx.Exec(ctx, "SELECT count(*) FROM pgcoherence.session_user") // takes the snapshot
			require.NoError(t, err)
			_, err = end(user)
			require.NoError(t, err)
			_, _, err = p.CreateTx(ctx, tx, l, cart{}, nil)
			require.Error(t, err, user)
			require.NoError(t, tx.Rollback(ctx))

			// Nothing is left of the attempt, and the next login is well.
			login(t, p, user, nil)
		}
	}

	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := sessionstore.New[cart](storetest.NewBus(t, pool, "strict"), pool, &sessionstore.Config[cart]{Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	l, err := s.BeginLogin(ctx, "strict")
	require.NoError(t, err)
	_, _, err = s.Create(ctx, l, cart{}, nil)
	require.NoError(t, err)

	// The end of all sessions sees all of them, or says that it cannot.
	_, err = s.RevokeAll(ctx)
	require.NoError(t, err)
	_, _, err = s.Create(ctx, l, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
	tx, err := p.bus.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	require.ErrorIs(t, p.RevokeAllTx(ctx, tx), sessionstore.ErrInvalid)
	require.NoError(t, tx.Rollback(ctx))
}

// A login that began before all sessions of all users were ended begins none, whatever was known of its user then.
func TestRevokeAllMeetsLoginsUnderWay(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	login(t, p, "known", nil)

	for _, user := range []string{"forgotten", "forgotten before"} {
		login(t, p, user, nil)
		_, err := p.ForgetUser(ctx, user)
		require.NoError(t, err)
		if user == "forgotten before" {
			_, err := p.RevokeAll(ctx)
			require.NoError(t, err)
		}
	}

	var all []sessionstore.Login
	for _, user := range []string{"known", "unknown", "forgotten", "forgotten before"} {
		l, err := p.BeginLogin(ctx, user)
		require.NoError(t, err)
		all = append(all, l)
	}

	_, err := p.RevokeAll(ctx)
	require.NoError(t, err)

	for _, l := range all {
		_, _, err := p.Create(ctx, l, cart{}, nil)
		require.ErrorIs(t, err, sessionstore.ErrLoginEnded, l.User())
		login(t, p, l.User(), nil)
		_, err = p.ForgetUser(ctx, l.User())
		require.NoError(t, err)
		login(t, p, l.User(), nil)
	}
}
