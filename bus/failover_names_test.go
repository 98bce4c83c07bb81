package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// holeConn swallows what is written while hole is set.
type holeConn struct {
	net.Conn
	hole *atomic.Bool
}

func (h holeConn) Write(b []byte) (int, error) {
	if h.hole.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func numberOf(t *testing.T, r bus.Receipt) uint64 {
	t.Helper()
	_, number, ok := strings.Cut(r.String(), ":")
	require.True(t, ok)
	xid, err := strconv.ParseUint(number, 10, 64)
	require.NoError(t, err)
	return xid
}

// An asynchronous failover, and transaction ids are given again. What a pod still holds from before, announcements that it
// could not send, must not be taken for the new transactions that bear the same ids.
func TestNamesEndWithTheirEpoch(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary := pgtest.NewServer(t, nil)
	pool, err := pgxpool.New(ctx, primary.DSN(""))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, makeSchema(ctx, pool))
	standby, err := primary.Standby(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = standby.Close() })
	pool.Reset() // the primary was restarted
	after, err := pgxpool.New(ctx, standby.DSN(""))
	require.NoError(t, err)
	t.Cleanup(after.Close)

	var hole, refused, failedOver atomic.Bool
	connect := func(cut bool) func(context.Context) (*pgx.Conn, error) {
		return func(ctx context.Context) (*pgx.Conn, error) {
			server := primary
			if failedOver.Load() {
				server = standby
			}
			if cut && refused.Load() {
				return nil, errors.New("cut off")
			}
			c, err := pgx.ParseConfig(server.DSN(""))
			if err != nil {
				return nil, err
			}
			if cut {
				c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
					if err != nil {
						return nil, err
					}
					return holeConn{conn, &hole}, nil
				}
			}
			return pgx.ConnectConfig(ctx, c)
		}
	}
	config := func(name string) *bus.Config {
		c := quick(name)
		c.SweepInterval, c.BeatInterval, c.StaleAfter = 1500*time.Millisecond, time.Second, 4*time.Second
		c.Connect = connect(name == "cut")
		return c
	}
	cut, other := start(t, pool, config("cut")), start(t, pool, config("other"))

	// The standby falls behind. What the first pod publishes then commits, but its announcements go nowhere.
	_, err = after.Exec(ctx, "ALTER SYSTEM SET primary_conninfo = ''")
	require.NoError(t, err)
	_, err = after.Exec(ctx, "SELECT pg_reload_conf()")
	require.NoError(t, err)
	eventually(t, func() bool {
		var receivers int
		err := after.QueryRow(ctx, "SELECT count(*) FROM pg_stat_wal_receiver").Scan(&receivers)
		return err == nil && receivers == 0
	}, "the standby receives nothing more")
	for range 50 { // transactions that the standby will not have
		_, err = pool.Exec(ctx, "SELECT pg_current_xact_id()")
		require.NoError(t, err)
	}
	hole.Store(true)
	refused.Store(true)
	lost := make(map[uint64]bool)
	for i := range 60 {
		r, err := cut.Publish(ctx, bus.Event{Topic: "item", Keys: []string{fmt.Sprint("lost ", i)}})
		require.NoError(t, err)
		lost[numberOf(t, r)] = true
	}
	require.NoError(t, primary.Crash(ctx))
	require.NoError(t, standby.Promote(ctx))
	after.Reset()
	failedOver.Store(true)
	eventually(t, func() bool { return other.State() == bus.Live && len(other.reasons()) == 2 }, "live on the new primary")
	hole.Store(false)

	// A process that only publishes gives the same names to events of its own: only the sweep announces them. The first
	// pod comes back meanwhile.
	writer, err := bus.NewPostgres(after, quick("writer"))
	require.NoError(t, err)
	var keys []string
	same := 0
	for i := 0; same < 10 || cut.State() != bus.Live; i++ {
		key := fmt.Sprint("real ", i)
		r, err := writer.Publish(ctx, bus.Event{Topic: "item", Keys: []string{key}})
		require.NoError(t, err)
		keys = append(keys, key)
		if lost[numberOf(t, r)] {
			same++
		}
		refused.Store(same < 10)
		require.True(t, same > 0 || i < 5000, "no transaction id was given again")
	}

	for _, key := range keys {
		eventually(t, func() bool { return other.has(key) }, "%s is delivered", key)
	}
	require.Equal(t, []bus.Reason{bus.ReasonStart, bus.ReasonEpoch}, other.reasons())
	require.Equal(t, []bus.Reason{bus.ReasonStart, bus.ReasonEpoch}, cut.reasons())
	eventually(t, func() bool { return cut.Stats().Dropped > 0 }, "its announcements are left to the sweep")
}
