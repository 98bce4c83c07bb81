package valuecodec_test

import (
	"encoding/gob"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/valuecodec"
)

// basket is a type of an application.
type basket struct {
	Name  string
	Items map[string]int
}

// secretive does not encode.
type secretive struct{}

func (secretive) GobEncode() ([]byte, error) { panic("do not show this") }
func (*secretive) GobDecode([]byte) error    { panic("nor this") }

func TestMain(m *testing.M) {
	gob.Register(basket{})
	gob.Register(secretive{})
	m.Run()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.FixedZone("", 3600))

	for name, value := range map[string]any{
		"nil": nil, "true": true, "false": false, "string": "tea\x00", "empty": "",
		"int": math.MinInt, "int8": int8(-8), "int16": int16(-16), "int32": int32(-32), "int64": int64(math.MaxInt64),
		"uint": uint(1), "uint8": uint8(8), "uint16": uint16(16), "uint32": uint32(32), "uint64": uint64(math.MaxUint64),
		"float32": float32(1.5), "float64": math.Pi, "bytes": []byte{0, 1}, "duration": time.Second,
		"list": []any{"a", 1, []any{nil}}, "strings": []string{"a", ""},
		"map": map[string]any{"a": 1, "b": map[string]any{"c": []byte("d")}}, "application": basket{"mine", map[string]int{"tea": 2}},
	} {
		encoded, err := valuecodec.Encode([]valuecodec.Pair{{Key: name, Value: value}, {Key: 7, Value: "number"}})
		require.NoError(t, err, name)
		pairs, err := valuecodec.Decode(encoded)
		require.NoError(t, err, name)
		require.ElementsMatch(t, []valuecodec.Pair{{Key: name, Value: value}, {Key: 7, Value: "number"}}, pairs, name)
	}

	encoded, err := valuecodec.Encode([]valuecodec.Pair{{Key: "at", Value: at}})
	require.NoError(t, err)
	pairs, err := valuecodec.Decode(encoded)
	require.NoError(t, err)
	require.IsType(t, at, pairs[0].Value)
	require.True(t, at.Equal(pairs[0].Value.(time.Time))) //nolint:errcheck // the line above has looked
}

// The same values are the same bytes, in whatever order they come.
func TestEncodingIsDeterministic(t *testing.T) {
	t.Parallel()
	values := map[string]any{}
	for i := range 50 {
		values[string(rune('a'+i))] = i
	}

	var first []byte
	for range 20 {
		pairs := make([]valuecodec.Pair, 0, len(values))
		for key, value := range values { // in another order each time
			pairs = append(pairs, valuecodec.Pair{Key: key, Value: value})
		}

		pairs = append(pairs, valuecodec.Pair{Key: "nested", Value: values})
		encoded, err := valuecodec.Encode(pairs)
		require.NoError(t, err)

		if first == nil {
			first = encoded
		}

		require.Equal(t, first, encoded)
	}
}

func TestWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	loop := []any{nil}
	loop[0] = loop
	type unregistered struct{ A int }
	for name, value := range map[string]any{
		"a list of itself": loop, "no registered type": unregistered{1}, "a function": func() {}, "a type that panics": secretive{},
	} {
		_, err := valuecodec.Encode([]valuecodec.Pair{{Key: "k", Value: value}})
		require.ErrorIs(t, err, valuecodec.ErrEncode, name)
		require.NotContains(t, err.Error(), "do not show this", name)
	}
}

func FuzzDecode(f *testing.F) {
	encoded, err := valuecodec.Encode([]valuecodec.Pair{
		{Key: "a", Value: []any{1, "b", 2.5, []byte("c"), time.Unix(1, 2)}}, {Key: 1, Value: map[string]any{"x": basket{Name: "n"}}},
	})
	require.NoError(f, err)
	f.Add(encoded)
	f.Add([]byte{})
	f.Add([]byte{1, 3, 200, 1})

	f.Fuzz(func(t *testing.T, b []byte) {
		pairs, err := valuecodec.Decode(b)
		if err != nil {
			require.ErrorIs(t, err, valuecodec.ErrDecode)
			return
		}

		again, err := valuecodec.Encode(pairs)
		require.NoError(t, err)
		once, err := valuecodec.Decode(again)
		require.NoError(t, err)
		twice, err := valuecodec.Encode(once)
		require.NoError(t, err)
		require.Len(t, twice, len(again), "a fixed point after one round; gob may order maps anew")
	})
}
