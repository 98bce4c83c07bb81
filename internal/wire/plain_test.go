package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// body is what is between the epoch and the code of a payload.
func body(payload string) string {
	parts := strings.SplitN(payload, " ", 3)
	return parts[2][:strings.LastIndexByte(parts[2], ' ')]
}

// bodies are the seeds of the fuzz target, and what the plain reader must leave to encoding/json.
var bodies = []string{
	`{}`, `{"e":[]}`, `{"e":[{"t":"a"}]}`, `{"e":[{"t":"a","k":[]}]}`, `{"e":[{"k":["1"],"t":"a"}]}`, `{"e":[{"t":"a","k":["\u0041"]}]}`,
	`{"e":[{"t":"é"}]}`, "{\"e\":[{\"t\":\"\xff\"}]}", `{"e":[{"t":"a","w":[01]}]}`, `{"e":[{"t":"a","w":[18446744073709551616]}]}`,
	`{"e":[{"t":"a","at":-9223372036854775808}]}`, `{"e":[{"t":"a","at":9223372036854775807}]}`, `{"e":[{"t":"a","at":-0}]}`,
	`{"e":[{"t":"a","x":["1.0","+1.0"]}]}`, `{"e":[{"t":"a","x":["1.-5"]}]}`, `{"e":[{"t":"a","x":["1.2147483648"]}]}`,
	`{"m":{"from":"1.0","to":"2.0"}}`, `{"m":{"to":"2.0"}}`, `{"m":{"from":"1","to":"2.0"}}`, `{"ask":true}`, `{"ask":false}`, `{"p":7}`, `{"p":-7}`,
	`{"m":{"from":"1.0","to":"2.0","n":3}}`, `{"m":{"from":"1.0","to":"2.0","n":0}}`, `{"m":{"from":"1.0","to":"2.0","n":9223372036854775808}}`,
	`{"p":7} `, `{"p":7}}`, `{,"p":7}`, `{"e":[{"t":"a"},]}`, `{"e":[{"t":"a"}],"ask":true,"p":1}`, `{"e":[{"t":"a","k":["1",]}]}`, ``, `null`, `[]`,
	`{"e":[{"t":"a","all":true,"u":true,"w":[1,2],"at":3}],"m":{"from":"1.0","to":"2.4294967295"},"ask":true}`,
}

// FuzzReadPlain: what the plain reader takes, encoding/json reads as the same.
func FuzzReadPlain(f *testing.F) {
	for _, b := range bodies {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text string) { same(t, text) })
}

func same(t require.TestingT, text string) (taken bool) {
	got, ok := wire.ReadPlain(text)
	if !ok {
		return false
	}
	want, err := wire.ReadJSON(text)
	require.NoError(t, err, text)
	require.Equal(t, want, got, text)
	return true
}

// TestReadPlainTakesWhatIsPacked: all that Pack writes is taken, if its strings need no escapes.
func TestReadPlainTakesWhatIsPacked(t *testing.T) {
	t.Parallel()
	c := codec()
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Event {
			return wire.Event{
				ID:    position.EventID{XID: rapid.Uint64().Draw(t, "xid"), N: rapid.Int32().Draw(t, "n")},
				HasID: rapid.Bool().Draw(t, "named"),
				Topic: rapid.StringMatching(`[a-z ]{1,4}`).Draw(t, "topic"),
				Keys:  rapid.SliceOfN(rapid.StringMatching(`[ -!#-\[\]-~]{0,300}`), 0, 20).Draw(t, "keys"),
				All:   rapid.IntRange(0, 9).Draw(t, "all") == 0,
				At:    rapid.Int64Range(-1<<62, 1<<62).Draw(t, "at"),
			}
		}), 0, 30).Draw(t, "events")

		mark := (*wire.Mark)(nil)
		if rapid.Bool().Draw(t, "marked") {
			mark = &wire.Mark{
				From: position.Stamp{Xmax: rapid.Uint64().Draw(t, "from"), InProgress: rapid.Uint32().Draw(t, "in progress")},
				To:   position.Stamp{Xmax: rapid.Uint64().Draw(t, "to")},
				Pods: rapid.Int64Range(0, 1<<62).Draw(t, "pods"),
			}
		}

		for _, payload := range append(c.Pack(events, mark, rapid.Bool().Draw(t, "ask"), 50), c.Probe(rapid.Uint64().Draw(t, "probe"))) {
			require.True(t, same(t, body(payload)), payload)
			_, err := c.Decode(payload)
			require.NoError(t, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	c := codec()
	for _, n := range []int{1, 20} {
		events := make([]wire.Event, n)
		for i := range events {
			events[i] = wire.Event{ID: position.EventID{XID: uint64(i)}, HasID: true, Topic: "users", Keys: []string{fmt.Sprint(i)}, At: 1_790_000_000_000_000}
		}

		payload := c.Pack(events, nil, false, 1000)[0]
		b.Run(fmt.Sprintf("%d/decode", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Decode(payload); err != nil {
					b.Fatal(err)
				}
			}
		})

		b.Run(fmt.Sprintf("%d/plain", n), func(b *testing.B) {
			for b.Loop() {
				wire.ReadPlain(body(payload))
			}
		})

		b.Run(fmt.Sprintf("%d/json", n), func(b *testing.B) {
			for b.Loop() {
				_, _ = wire.ReadJSON(body(payload))
			}
		})
	}
}
