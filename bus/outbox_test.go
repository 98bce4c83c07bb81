package bus

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/wire"
)

func outboxEvents(n, keys, size int) []wire.Event {
	events := make([]wire.Event, n)
	for i := range events {
		events[i] = wire.Event{Topic: "item", HasID: true}
		for range keys {
			events[i].Keys = append(events[i].Keys, strings.Repeat("k", size))
		}
	}
	return events
}

// What waits is bounded in bytes, the newest stays, and what is dropped is counted.
func TestOutboxIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	o := &outbox{signal: func() {}}
	o.start()
	put := 0
	for range 3000 { // 3 GB if it were not
		o.put("e", outboxEvents(1, 1000, 1000))
		put++
		require.LessOrEqual(t, o.bytes, maxOutbox)
	}
	events, dropped := o.take("e", false)
	require.NotEmpty(t, events)
	require.Equal(t, int64(put-len(events)), dropped)
	require.Zero(t, o.size())
	require.Zero(t, o.bytes)

	o.put("e", outboxEvents(1, 1, 2*maxOutbox))
	require.Zero(t, o.size(), "one that is larger than all of it")
}

// Names of another epoch do not come out.
func TestOutboxKeepsEpochsApart(t *testing.T) {
	t.Parallel()
	o := &outbox{signal: func() {}}
	o.start()
	o.put("old", outboxEvents(2, 1, 1))
	o.put("new", outboxEvents(3, 1, 1))
	o.put("", outboxEvents(1, 1, 1))
	events, dropped := o.take("new", false)
	require.Len(t, events, 3)
	require.Equal(t, int64(3), dropped)
}

// Before and after Run nothing takes from it, so nothing stays in it.
func TestOutboxIsEmptyWithoutRun(t *testing.T) {
	t.Parallel()
	o := &outbox{signal: func() {}}
	o.put("e", outboxEvents(1, 1, 1))
	require.Zero(t, o.size())
	o.start()
	o.put("e", outboxEvents(1, 1, 1))
	o.stop()
	o.put("e", outboxEvents(1, 1, 1))
	require.Zero(t, o.size())
	_, dropped := o.take("e", false)
	require.Equal(t, int64(3), dropped)
}
