package cache

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

func TestEnvelope_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, e := range []envelope{
		{topic: "users", name: "a", proof: "p\x00", program: "json", epoch: "e", at: position.Snapshot{Xmin: 5, Xmax: 5}, expires: 7, value: []byte("1")},
		{
			absent: true, topic: "t", name: "", epoch: "e", at: position.Snapshot{Xmin: 5, Xmax: 90, Xip: []uint64{5, 17, 89}},
			extras: []uint64{100, 92}, tags: []string{"x", "", "y"}, expires: -1, value: []byte{},
		},
	} {
		parsed, err := parseEnvelope(e.bytes())
		require.NoError(t, err)
		require.Equal(t, &e, parsed)
	}
}

func FuzzEnvelope(f *testing.F) {
	e := envelope{
		topic: "t", name: "k", epoch: "e", at: position.Snapshot{Xmin: 5, Xmax: 90, Xip: []uint64{5, 17, 89}},
		extras: []uint64{100, 92}, tags: []string{"x", "y"}, expires: 1 << 40, value: []byte("value"),
	}
	good := e.bytes()
	for n := range good {
		f.Add(good[:n])
	}

	f.Add(good)
	f.Add([]byte{envelopeVersion, 0, 0, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})

	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseEnvelope(data)
		if err != nil {
			require.Nil(t, e)
			return
		}

		// What was read is sound, and written again it reads the same.
		if _, err := position.ParseSnapshot(e.at.String()); err != nil {
			t.Fatalf("snapshot %s: %v", e.at, err)
		}

		again, err := parseEnvelope(e.bytes())
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}
