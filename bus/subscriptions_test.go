package bus_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Ten thousand subscriptions take memory in proportion, on topics of their own and on one.
func TestManySubscriptions(t *testing.T) {
	t.Parallel()
	b, err := bus.NewPostgres(lazyPool(t), nil)
	require.NoError(t, err)
	const n = 10_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	ends := make([]func(), 0, 2*n)
	for i := range n {
		ends = append(ends, b.Subscribe("one", bus.SubscriberFuncs{}), b.Subscribe("topic "+strconv.Itoa(i), bus.SubscriberFuncs{}))
	}

	runtime.ReadMemStats(&after)

	// Other tests allocate beside this one. Copying all topics for each subscription took more than 10 GB.
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<30))
	require.Len(t, b.Topics(), n+1)

	for _, end := range ends {
		end()
	}

	require.Empty(t, b.Topics())
}
