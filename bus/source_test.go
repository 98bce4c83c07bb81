package bus_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

var (
	_ hook.Door = (*bus.Postgres)(nil)
	_ hook.Door = (*bus.Local)(nil)
)

// xids are the transactions of all deliveries of a key.
func (r *recorder) xids(key string) (xids []uint64) {
	for _, d := range r.all() {
		if slices.Contains(d.Keys, key) {
			xids = append(xids, d.XIDs...)
		}
	}
	return xids
}

// Whatever way an event takes, its deliveries name the transaction that it came from.
func TestDeliveryNamesTransactions(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	require.NoError(t, a.WatchTable(t.Context(), bus.Watch{Table: "item", Topic: "item", Key: []string{"id"}}))

	eventually(t, func() bool { return a.has("*") && b.has("*") }, "a table that begins to be watched invalidates all of its topic")

	// Announced: a transaction of the library.
	receipt, err := a.InTx(t.Context(), func(tx *bus.Tx) error {
		tx.Invalidate("item", "announced")
		return nil
	})
	require.NoError(t, err)
	xid := func(r bus.Receipt) string { _, number, _ := strings.Cut(r.String(), ":"); return number }
	var announced uint64
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT $1::text::xid8", xid(receipt)).Scan(&announced))
	eventually(t, func() bool { return b.has("announced") && a.has("announced") }, "announced")
	require.Equal(t, []uint64{announced}, slices.Compact(a.xids("announced")))
	require.Equal(t, []uint64{announced}, slices.Compact(b.xids("announced")))

	// Swept: a trigger's row has no identity, only a transaction.
	var swept uint64
	require.NoError(t, pool.QueryRow(t.Context(), "UPDATE item SET value = 1 WHERE id = '7' RETURNING pg_current_xact_id()").Scan(&swept))
	eventually(t, func() bool { return b.has("7") && a.has("7") }, "swept")
	require.Contains(t, b.xids("7"), swept)
	require.Contains(t, a.xids("7"), swept)
}

// Position covers what subscribers that are called on the spot have been told, and a receipt is applied once it does.
func TestPositionCoversReceipts(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), prepare(t, pool, quick("b"))
	token := hook.Token{}

	_, _, ok := b.Internal(token).Position()
	require.False(t, ok, "no position before Run")
	require.True(t, b.Applied(bus.Receipt{}))
	require.Less(t, b.Internal(token).FreshAge(elapsed.Now()), time.Duration(0))

	receipt, err := a.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)
	require.False(t, b.Applied(receipt), "nothing is applied before Run")
	b.run(t)
	b.waitReady(t)
	eventually(t, func() bool { return a.Applied(receipt) && b.Applied(receipt) }, "applied")
	epoch, at, ok := b.Internal(token).Position()
	require.True(t, ok)
	require.Equal(t, b.Stats().Epoch, epoch)
	require.NotZero(t, at.Xmax)
	require.True(t, b.Internal(token).ProvenSince(time.Now().Add(-time.Minute)))
	require.False(t, b.Internal(token).ProvenSince(time.Now().Add(time.Minute)))
	require.Equal(t, 3*time.Second, b.Internal(token).StaleAfter())

	// A transaction that has not committed is not covered, and holds up nothing but itself.
	open, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = open.Rollback(t.Context()) }()
	var xid uint64
	require.NoError(t, open.QueryRow(t.Context(), "SELECT pg_current_xact_id()").Scan(&xid))
	later, err := a.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{"2"}})
	require.NoError(t, err)
	eventually(t, func() bool { return b.Applied(later) }, "the later one is applied")
	_, at, _ = b.Internal(token).Position()
	require.False(t, at.Sees(xid))

	other := bus.Receipt{}
	require.NoError(t, other.UnmarshalText([]byte("0123456789abcdef:1")))
	require.False(t, b.Applied(other), "of another epoch")
	b.stop()
	_, _, ok = b.Internal(token).Position()
	require.False(t, ok, "no position after Run")
}

// How long caches go on serving after the bus has lost its proof has to fit into the pod lease.
func TestExtendKeepsToThePodLease(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	token := hook.Token{}
	early := prepare(t, pool, quick("early"))
	require.NoError(t, early.Internal(token).Extend(2*time.Second), "the pod lease is not known yet")
	require.ErrorIs(t, early.Run(t.Context()), bus.ErrConfig)

	late := start(t, pool, quick("late"))
	require.NoError(t, late.Internal(token).Extend(1500*time.Millisecond), "3 s and 1.5 s are 0.9 of 5 s")
	err := late.Internal(token).Extend(1501 * time.Millisecond)
	require.ErrorIs(t, err, bus.ErrConfig)
	require.ErrorContains(t, err, "1.501s")
	require.ErrorContains(t, err, "pod lease")
}

func TestLocalPosition(t *testing.T) {
	t.Parallel()
	l, token := bus.NewLocal(), hook.Token{}
	other := bus.NewLocal()
	receipt, err := l.Publish(t.Context(), bus.Event{Topic: "item", All: true})
	require.NoError(t, err)
	epoch, at, ok := l.Internal(token).Position()
	require.True(t, ok)
	require.True(t, strings.HasPrefix(receipt.String(), epoch+":"))
	require.True(t, at.Sees(1))
	require.False(t, at.Sees(2))
	require.True(t, l.Applied(receipt))
	require.False(t, other.Applied(receipt), "two buses have nothing to do with each other")
	require.Zero(t, l.Internal(token).FreshAge(elapsed.Now()))
	require.NoError(t, l.Internal(token).Extend(time.Hour))
	require.True(t, l.Internal(token).ProvenSince(time.Now()))
}
