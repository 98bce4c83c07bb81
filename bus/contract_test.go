package bus_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// transaction is what the transactions of both buses have in common.
type transaction interface {
	Invalidate(topic string, keys ...string)
	InvalidateAll(topic string)
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
	Receipt() bus.Receipt
}

// implementation is one bus under the contract.
type implementation struct {
	bus   bus.Bus
	begin func(ctx context.Context) (transaction, error)
	nest  func(ctx context.Context, tx transaction) (transaction, error)
	stats func() bus.Stats
}

func implementations() map[string]func(t *testing.T) implementation {
	return map[string]func(t *testing.T) implementation{
		"postgres": func(t *testing.T) implementation {
			_, pool := setup(t)
			p := start(t, pool, quick("contract"))
			return implementation{
				bus:   p.Postgres,
				begin: func(ctx context.Context) (transaction, error) { return p.Begin(ctx) },
				nest: func(ctx context.Context, tx transaction) (transaction, error) {
					outer, ok := tx.(*bus.Tx)
					require.True(t, ok)

					inner, err := outer.Begin(ctx)
					if err != nil {
						return nil, err
					}

					savepoint, ok := bus.TxFrom(inner)
					require.True(t, ok)
					return savepoint, nil
				},
				stats: p.Stats,
			}
		},
		"local": func(t *testing.T) implementation {
			l := bus.NewLocal()
			return implementation{
				bus:   l,
				begin: func(ctx context.Context) (transaction, error) { return l.Begin(ctx) },
				nest: func(ctx context.Context, tx transaction) (transaction, error) {
					outer, ok := tx.(*bus.LocalTx)
					require.True(t, ok)
					return outer.Begin(ctx)
				},
				stats: l.Stats,
			}
		},
	}
}

// TestContract is what every Bus promises, run on each.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, make := range implementations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for test, f := range map[string]func(*testing.T, implementation){
				"publish": contractPublish, "bad input": contractBadInput, "commit and rollback": contractCommit,
				"savepoints": contractSavepoints, "collapse": contractCollapse, "unsubscribe": contractUnsubscribe,
				"panic": contractPanic, "blocked": contractBlocked, "ended context": contractContext,
			} {
				t.Run(test, func(t *testing.T) {
					t.Parallel()
					f(t, make(t))
				})
			}
		})
	}
}

func contractPublish(t *testing.T, i implementation) {
	ctx := t.Context()
	users, posts := &recorder{}, &recorder{}
	defer i.bus.Subscribe("users", users)()
	defer i.bus.Subscribe("posts", posts)()

	receipt, err := i.bus.Publish(ctx)
	require.NoError(t, err)
	require.True(t, receipt.IsZero(), "no events")
	receipt, err = i.bus.Publish(ctx, bus.Event{Topic: "users"})
	require.NoError(t, err)
	require.True(t, receipt.IsZero(), "no keys and not all: nothing")

	receipt, err = i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"1", "", "1"}}, bus.Event{Topic: "posts", All: true})
	require.NoError(t, err)
	require.False(t, receipt.IsZero())
	text, err := receipt.MarshalText()
	require.NoError(t, err)
	var back bus.Receipt
	require.NoError(t, back.UnmarshalText(text))
	require.Equal(t, receipt, back)

	eventually(t, func() bool { return users.has("1") && users.has("") && posts.has("*") }, "events arrive")
	first := users.all()[0]
	require.Equal(t, []string{"1", ""}, first.Keys, "equal keys are folded; the empty key is a key")
	require.Zero(t, users.count("*"))
	require.True(t, i.bus.Fresh())
	require.Equal(t, bus.Live, i.bus.State())
	require.EqualValues(t, 2, i.stats().Published)
}

func contractBadInput(t *testing.T, i implementation) {
	ctx := t.Context()
	users := &recorder{}
	defer i.bus.Subscribe("users", users)()
	long := strings.Repeat("k", bus.MaxKeyLen)
	for name, test := range map[string]struct {
		event bus.Event
		want  string
	}{
		"empty topic":   {bus.Event{Keys: []string{"1"}}, "topic is empty"},
		"long topic":    {bus.Event{Topic: strings.Repeat("t", bus.MaxTopicLen+1), All: true}, "topic"},
		"NUL in topic":  {bus.Event{Topic: "a\x00b", All: true}, "NUL"},
		"topic, UTF-8":  {bus.Event{Topic: "a\xff", Keys: []string{"1"}}, "not valid UTF-8"},
		"long key":      {bus.Event{Topic: "users", Keys: []string{"1", long + "k"}}, "has 1025 bytes"},
		"NUL in key":    {bus.Event{Topic: "users", Keys: []string{"1\x00"}}, "NUL"},
		"key, UTF-8":    {bus.Event{Topic: "users", Keys: []string{"\xc3"}}, "not valid UTF-8"},
		"no keys, bad ": {bus.Event{Topic: ""}, "topic is empty"},
	} {
		_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"good"}}, test.event)
		require.ErrorIs(t, err, bus.ErrInvalidEvent, name)
		require.ErrorContains(t, err, test.want, name)

		tx, err := i.begin(ctx)
		require.NoError(t, err)
		tx.Invalidate("users", "good")
		if test.event.All {
			tx.InvalidateAll(test.event.Topic)
		} else {
			tx.Invalidate(test.event.Topic, test.event.Keys...)
		}
		tx.Invalidate("users", "also good")
		err = tx.Commit(ctx)
		require.ErrorIs(t, err, bus.ErrInvalidEvent, name)
		require.ErrorContains(t, err, test.want, name)
		require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed, name)
		require.True(t, tx.Receipt().IsZero())
	}
	_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{long}})
	require.NoError(t, err, "a key of exactly the limit")
	eventually(t, func() bool { return users.has(long) }, "event arrives")
	require.False(t, users.has("good"), "with a bad event nothing is published")
}

func contractCommit(t *testing.T, i implementation) {
	ctx := t.Context()
	users := &recorder{}
	defer i.bus.Subscribe("users", users)()

	tx, err := i.begin(ctx)
	require.NoError(t, err)
	tx.Invalidate("users", "rolled back")
	require.NoError(t, tx.Rollback(ctx))
	require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed)
	require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed)

	tx, err = i.begin(ctx)
	require.NoError(t, err)
	tx.Invalidate("users")
	require.NoError(t, tx.Commit(ctx))
	require.True(t, tx.Receipt().IsZero(), "no keys: nothing")

	tx, err = i.begin(ctx)
	require.NoError(t, err)
	tx.Invalidate("users", "1")
	tx.Invalidate("users", "2", "1")
	require.Zero(t, users.total(), "nothing before the commit")
	require.NoError(t, tx.Commit(ctx))
	require.False(t, tx.Receipt().IsZero())
	require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed)
	eventually(t, func() bool { return users.has("1") && users.has("2") }, "events arrive")
	require.Equal(t, []string{"1", "2"}, users.all()[0].Keys)
	require.False(t, users.has("rolled back"))
}

func contractSavepoints(t *testing.T, i implementation) {
	ctx := t.Context()
	users := &recorder{}
	defer i.bus.Subscribe("users", users)()
	tx, err := i.begin(ctx)
	require.NoError(t, err)
	tx.Invalidate("users", "outer")

	dropped, err := i.nest(ctx, tx)
	require.NoError(t, err)
	dropped.Invalidate("users", "dropped")
	inner, err := i.nest(ctx, dropped)
	require.NoError(t, err)
	inner.Invalidate("users", "released into the dropped")
	require.NoError(t, inner.Commit(ctx))
	require.NoError(t, dropped.Rollback(ctx))
	require.ErrorIs(t, dropped.Rollback(ctx), pgx.ErrTxClosed)

	kept, err := i.nest(ctx, tx)
	require.NoError(t, err)
	kept.Invalidate("users", "kept")
	require.NoError(t, kept.Commit(ctx))
	require.ErrorIs(t, kept.Commit(ctx), pgx.ErrTxClosed)
	kept.Invalidate("users", "late")

	open, err := i.nest(ctx, tx)
	require.NoError(t, err)
	open.Invalidate("users", "open")
	require.NoError(t, tx.Commit(ctx), "COMMIT keeps what was done in open savepoints")
	require.ErrorIs(t, open.Commit(ctx), pgx.ErrTxClosed)

	eventually(t, func() bool { return users.has("outer") }, "events arrive")
	require.ElementsMatch(t, []string{"outer", "kept", "late", "open"}, users.all()[0].Keys)
}

func contractCollapse(t *testing.T, i implementation) {
	ctx := t.Context()
	users := &recorder{}
	defer i.bus.Subscribe("users", users)()
	keys := make([]string, bus.DefaultMaxKeys+1)
	for k := range keys {
		keys[k] = strings.Repeat("k", k%100) + string(rune('a'+k%26)) + strings.Repeat("é", k/26)
	}
	_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: keys[:bus.DefaultMaxKeys]})
	require.NoError(t, err)
	eventually(t, func() bool { return users.total() > 0 }, "events arrive")
	require.Len(t, users.all()[0].Keys, bus.DefaultMaxKeys)
	require.Zero(t, users.count("*"))

	_, err = i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: keys})
	require.NoError(t, err)
	eventually(t, func() bool { return users.has("*") }, "more than MaxKeys keys become the whole topic")
}

func contractUnsubscribe(t *testing.T, i implementation) {
	ctx := t.Context()
	gone, here := &recorder{}, &recorder{}
	unsubscribe := i.bus.Subscribe("users", gone)
	defer i.bus.Subscribe("users", here)()
	unsubscribe()
	unsubscribe()
	_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"1"}})
	require.NoError(t, err)
	eventually(t, func() bool { return here.has("1") }, "event arrives")
	require.Zero(t, gone.total())
}

func contractPanic(t *testing.T, i implementation) {
	ctx := t.Context()
	var after recorder
	var resets atomic.Int32
	defer i.bus.Subscribe("users", bus.SubscriberFuncs{
		OnInvalidate: func(d bus.Delivery) {
			if d.Keys[0] == "bad" {
				panic(errors.New("subscriber's fault"))
			}
			after.Invalidate(d)
		},
		OnReset: func(r bus.Reason) {
			if r == bus.ReasonPanic && resets.Add(1) == 1 {
				panic("again, in Reset")
			}
			after.Reset(r)
		},
	})()

	_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"bad"}})
	require.NoError(t, err)
	eventually(t, func() bool { return resets.Load() >= 2 && len(after.reasons()) >= 1 }, "reset, until it does not panic")
	require.Contains(t, after.reasons(), bus.ReasonPanic)
	_, err = i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"fine"}})
	require.NoError(t, err)
	eventually(t, func() bool { return after.has("fine") }, "life goes on")
	require.GreaterOrEqual(t, i.stats().Panics, int64(2))
}

func contractBlocked(t *testing.T, i implementation) {
	ctx := t.Context()
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	var slow, other recorder
	defer i.bus.Subscribe("users", bus.SubscriberFuncs{
		OnInvalidate: func(d bus.Delivery) {
			select {
			case entered <- struct{}{}:
			default:
			}
			<-release
			slow.Invalidate(d)
		},
		OnReset: slow.Reset,
	})()

	defer i.bus.Subscribe("posts", &other)()

	_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"first"}})
	require.NoError(t, err)
	<-entered

	for range bus.DefaultQueueSize + 10 {
		_, err := i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"many"}})
		require.NoError(t, err, "a blocked subscriber holds up no publisher")
	}

	_, err = i.bus.Publish(ctx, bus.Event{Topic: "posts", Keys: []string{"1"}})
	require.NoError(t, err)
	eventually(t, func() bool { return other.has("1") }, "nor another subscriber")
	close(release)
	eventually(t, func() bool { return len(slow.reasons()) > 0 && slow.has("first") }, "the full queue became a reset")
	require.Contains(t, slow.reasons(), bus.ReasonOverflow)
	require.Positive(t, i.stats().Overflows)
	_, err = i.bus.Publish(ctx, bus.Event{Topic: "users", Keys: []string{"after"}})
	require.NoError(t, err)
	eventually(t, func() bool { return slow.has("after") }, "life goes on")
	eventually(t, func() bool { return i.bus.Fresh() }, "and so does freshness")
}

func contractContext(t *testing.T, i implementation) {
	users := &recorder{}
	defer i.bus.Subscribe("users", users)()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := i.bus.Publish(ended, bus.Event{Topic: "users", Keys: []string{"1"}})
	require.ErrorIs(t, err, context.Canceled)
	_, err = i.begin(ended)
	require.ErrorIs(t, err, context.Canceled)

	tx, err := i.begin(t.Context())
	require.NoError(t, err)
	tx.Invalidate("users", "2")
	require.ErrorIs(t, tx.Commit(ended), context.Canceled, "nothing was sent, so nothing was committed")
	require.ErrorIs(t, tx.Commit(t.Context()), pgx.ErrTxClosed)
	_, err = i.bus.Publish(t.Context(), bus.Event{Topic: "users", Keys: []string{"3"}})
	require.NoError(t, err)
	eventually(t, func() bool { return users.has("3") }, "event arrives")
	time.Sleep(10 * time.Millisecond)
	require.False(t, users.has("1") || users.has("2"))
}
