package bus_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// TestForeignNotifications: any role can send NOTIFY on our channel. Junk changes nothing but a count; what may hide an
// event makes the pod look into the log, and not too often.
func TestForeignNotifications(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a := start(t, pool, quick("a"))
	notify := func(payload string) {
		_, err := pool.Exec(ctx, "SELECT pg_notify($1, $2)", a.Channel(), payload)
		require.NoError(t, err)
	}
	good := a.Payload(bus.Event{Topic: "item", Keys: []string{"forged"}})[0]
	notify("")
	notify("wake up")
	notify(strings.Repeat("x", 7999))
	eventually(t, func() bool { return a.Stats().Malformed == 3 }, "malformed are counted")
	notify(strings.Replace(good, "forged", "FORGED", 1))
	eventually(t, func() bool { return a.Stats().Forged == 1 }, "forged are counted")
	gaps := a.Stats().Gaps
	for range 200 {
		notify("2" + good[1:])
	}
	notify(strings.Replace(good, good[2:18], "0000000000000000", 1))
	eventually(t, func() bool { return a.Stats().Unknown == 201 && a.Stats().Gaps > gaps }, "another version or epoch: the log tells")
	require.Less(t, a.Stats().Gaps-gaps, int64(100), "not once per payload")

	require.False(t, a.has("FORGED") || a.has("forged"))
	require.Equal(t, []bus.Reason{bus.ReasonStart}, a.reasons(), "and nobody is reset")
	notify(good)
	eventually(t, func() bool { return a.has("forged") }, "with the right code it would have been believed")
	require.True(t, a.Fresh())
}

// FuzzNotification: no payload panics or resets, and none without the secret reaches a subscriber.
func FuzzNotification(f *testing.F) {
	for _, seed := range []string{"", "1", "1 x y z", `1 0123456789abcdef {"e":[{"t":"item","all":true}]} AAAAAAAAAAAAAAAA`, "2 anything", "0 hint item k", "0 hint item"} {
		f.Add(seed)
	}

	b, err := bus.NewPostgres(lazyPool(f), &bus.Config{Logger: quiet})
	require.NoError(f, err)
	seen := &recorder{}
	f.Cleanup(b.Subscribe("item", seen))
	f.Cleanup(b.Subscribe("item", &hints{})) // takes any

	f.Fuzz(func(t *testing.T, payload string) {
		b.Notification(payload)
		if seen.total() > 0 || len(seen.reasons()) > 0 {
			t.Fatalf("%q was believed", payload)
		}
	})
}
