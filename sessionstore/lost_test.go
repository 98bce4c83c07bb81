package sessionstore_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// losing loses the answer of the next commit of the bus, once armed: the server has committed, the client sees a broken
// connection.
type losing struct {
	net.Conn
	armed *atomic.Bool
}

func (l losing) Write(b []byte) (int, error) {
	// The bus' statement is prepared under this name.
	if !bytes.Contains(b, []byte("pgc_commit")) || !l.armed.CompareAndSwap(true, false) {
		return l.Conn.Write(b)
	}
	n, err := l.Conn.Write(b)
	_, _ = l.Read(make([]byte, 4096)) // the answer: it is committed
	_ = l.Close()
	return n, err
}

// losingPod has a pool of one connection whose commits can lose their answers.
func losingPod(t *testing.T, db *pgtest.DB, cfg *config) (p *pod, armed *atomic.Bool) {
	t.Helper()
	armed = &atomic.Bool{}
	c, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	c.MaxConns = 1
	c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return losing{conn, armed}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b, err := bus.NewPostgres(pool, storetest.QuickBus("losing"))
	require.NoError(t, err)
	storetest.Background(t, b.Run)
	<-b.Ready()
	cfg.Logger, cfg.SweepInterval = quiet, -1
	s, err := sessionstore.New(b, pool, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &pod{store: s, bus: b, pool: pool}, armed
}

// A write whose answer is lost is found to be one's own: no conflict with oneself, no token that nobody has.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	p, armed := losingPod(t, db, &config{})
	token, _ := login(t, p, "ann", nil)
	// The statements are prepared once, so that what comes next is the commit and not its preparation.
	warm := func() *session {
		got, err := p.Update(ctx, token, func(c *cart) error { c.Note += "."; return nil })
		require.NoError(t, err)
		return got
	}
	got := warm()
	got.Data.Note = "saved"
	armed.Store(true)
	require.NoError(t, p.Save(ctx, token, got))
	require.False(t, armed.Load(), "the answer was lost")
	got.Data.Note = "saved again"
	require.NoError(t, p.Save(ctx, token, got), "the version is known")

	warm()
	armed.Store(true)
	next, _, err := p.Rotate(ctx, token, nil)
	require.NoError(t, err)
	require.False(t, armed.Load())
	_, err = p.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
	token = next
	got, err = p.Get(ctx, token)
	require.NoError(t, err)
	require.Equal(t, "saved again.", got.Data.Note)

	warm()
	armed.Store(true)
	_, err = p.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "committed"}, nil)
	require.NoError(t, err)
	require.False(t, armed.Load())

	warm()
	armed.Store(true)
	_, err = p.Revoke(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrUnavailable)
	r, err := p.Revoke(ctx, token)
	confirmed(t, p, r, err)
	_, err = p.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}

// The statements work in every mode in which pgx sends them, as behind a pooler.
func TestExecModes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			c, err := pgxpool.ParseConfig(db.DSN)
			require.NoError(t, err)
			c.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(ctx, c)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			b := bus.NewLocal()
			s, err := sessionstore.New(b, pool, &config{Logger: quiet, Encrypt: true, MaxPerUser: 2})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			user := mode.String()
			var token string
			for range 3 {
				l, err := s.BeginLogin(ctx, user)
				require.NoError(t, err)
				token, _, err = s.Create(ctx, l, cart{Note: "x"}, &sessionstore.CreateOptions{
					Issuer: "idp", SID: user, Device: &sessionstore.Device{Label: "it's"}, Policy: sessionstore.Policy{Idle: sessionstore.NoIdle},
				})
				require.NoError(t, err)
			}

			got, err := s.Get(ctx, token)
			require.NoError(t, err)
			require.Equal(t, "x", got.Data.Note)
			got.Data.Note = "y"
			require.NoError(t, s.Save(ctx, token, got))
			token, _, err = s.Rotate(ctx, token, sessionstore.Periodic(0))
			require.NoError(t, err)
			_, err = pool.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = last_seen - interval '1 hour'")
			require.NoError(t, err)
			_, err = s.GetFresh(ctx, token)
			require.NoError(t, err)
			require.EqualValues(t, 1, s.Stats().Touched)
			_, err = s.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "z"}, &commitOptions{Remaining: 1e9 * 3600})
			require.NoError(t, err)
			list, err := s.List(ctx, user)
			require.NoError(t, err)
			require.Len(t, list, 2)
			require.Equal(t, "it's", list[0].Device.Label)
			value, err := s.PutOneTime(ctx, "k", []byte("v"), nil)
			require.NoError(t, err)
			_, err = s.TakeOneTime(ctx, "k", value, "")
			require.NoError(t, err)
			_, err = s.RevokeUserExcept(ctx, token)
			require.NoError(t, err)
			require.NoError(t, s.Sweep(ctx))
			_, err = s.RevokeByID(ctx, user, list[0].ID)
			require.True(t, err == nil || errors.Is(err, sessionstore.ErrNotFound), "%v", err)
			_, err = s.RevokeBySID(ctx, "idp", user)
			require.NoError(t, err)
			_, err = s.RevokeUser(ctx, user)
			require.NoError(t, err)
			_, err = s.GetFresh(ctx, token)
			require.ErrorIs(t, err, sessionstore.ErrRevoked)
		})
	}
}
