package wire_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

const epoch = "4f1c09d2a1b3e877"

func codec() *wire.Codec { return wire.NewCodec(epoch, []byte("secret")) }

func TestGolden(t *testing.T) {
	t.Parallel()
	payloads := codec().Pack([]wire.Event{
		{ID: position.EventID{XID: 7301}, HasID: true, Topic: "users", Keys: []string{"42", "<é>"}, At: 1_790_000_000_000_000},
		{ID: position.EventID{XID: 7303, N: -5}, HasID: true, Topic: "users", Keys: []string{"42"}, At: 1_780_000_000_000_000},
		{Topic: "posts", All: true, ID: position.EventID{XID: 7302}},
	}, &wire.Mark{From: position.Stamp{Xmax: 7300}, To: position.Stamp{Xmax: 7304, InProgress: 2}}, true, 100)
	require.Equal(t, []string{`1 4f1c09d2a1b3e877 {"e":[{"t":"users","k":["42","<é>"],"x":["7301.0","7303.-5"],` +
		`"at":1780000000000000},{"t":"posts","all":true,"u":true,"w":[7302]}],"m":{"from":"7300.0","to":"7304.2"},"ask":true} oQ9jVaGq4peceAoa`}, payloads)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	c := codec()
	good := c.Pack([]wire.Event{{Topic: "users", Keys: []string{"1"}}}, nil, false, 10)[0]
	_, err := c.Decode(good)
	require.NoError(t, err)

	sign := func(text string) string {
		h := hmac.New(sha256.New, []byte("secret"))
		h.Write([]byte(text))
		return text + " " + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
	}
	for name, test := range map[string]struct {
		payload string
		want    error
	}{
		"empty":              {"", wire.ErrMalformed},
		"wake-up of others":  {"wake", wire.ErrMalformed},
		"json of others":     {`{"table": "users"}`, wire.ErrMalformed},
		"leading zero":       {"01" + good[1:], wire.ErrMalformed},
		"sign":               {"+1" + good[1:], wire.ErrMalformed},
		"version only":       {"1 ", wire.ErrMalformed},
		"short epoch":        {"1 4f1c {} x", wire.ErrMalformed},
		"too long":           {good + strings.Repeat(" ", 8001), wire.ErrMalformed},
		"newer version":      {"2" + good[1:], wire.ErrVersion},
		"newer, other form":  {"17 something else entirely", wire.ErrVersion},
		"other epoch":        {strings.Replace(good, epoch, "0000000000000000", 1), wire.ErrEpoch},
		"no code":            {"1 " + epoch + " {}", wire.ErrMAC},
		"no body":            {"1 " + epoch + " ", wire.ErrMAC},
		"changed":            {strings.Replace(good, "users", "roles", 1), wire.ErrMAC},
		"cut":                {good[:len(good)-1], wire.ErrMAC},
		"signed, not json":   {sign("1 " + epoch + " {"), wire.ErrMalformed},
		"signed, wrong type": {sign("1 " + epoch + ` {"e":7}`), wire.ErrMalformed},
		"signed, bad id":     {sign("1 " + epoch + ` {"e":[{"t":"a","x":["1"]}]}`), wire.ErrMalformed},
		"signed, bad stamp":  {sign("1 " + epoch + ` {"m":{"from":"1.x","to":"2.0"}}`), wire.ErrMalformed},
	} {
		_, err := c.Decode(test.payload)
		require.ErrorIs(t, err, test.want, name)
	}
	_, err = wire.NewCodec(epoch, []byte("other")).Decode(good)
	require.ErrorIs(t, err, wire.ErrMAC)
	var none *wire.Codec
	_, err = none.Decode(good)
	require.ErrorIs(t, err, wire.ErrEpoch)
	require.NotContains(t, good, "secret")

	// A field this version does not know is ignored.
	m, err := c.Decode(sign("1 " + epoch + ` {"ask":true,"later":{"x":1}}`))
	require.NoError(t, err)
	require.True(t, m.Ask)
}

func TestProbe(t *testing.T) {
	t.Parallel()
	m, err := codec().Decode(codec().Probe(1 << 63))
	require.NoError(t, err)
	require.Equal(t, &wire.Message{Probe: 1 << 63}, m)
}

func TestPackFolds(t *testing.T) {
	t.Parallel()
	c := codec()
	require.Empty(t, c.Pack(nil, nil, false, 10))
	require.Empty(t, c.Pack([]wire.Event{{Topic: "users"}}, nil, false, 10), "no keys and not all: nothing")

	one := func(events []wire.Event, maxKeys int) *wire.Message {
		payloads := c.Pack(events, nil, false, maxKeys)
		require.Len(t, payloads, 1)
		m, err := c.Decode(payloads[0])
		require.NoError(t, err)
		return m
	}
	m := one([]wire.Event{{Topic: "a", Keys: []string{"1", "2", "1"}}, {Topic: "a", Keys: []string{"2"}}}, 2)
	require.Equal(t, []wire.Group{{Topic: "a", Keys: []string{"1", "2"}, Also: true}}, m.Groups, "two distinct keys are not too many")
	m = one([]wire.Event{{Topic: "a", Keys: []string{"1", "2", "3"}}}, 2)
	require.Equal(t, []wire.Group{{Topic: "a", All: true, Also: true}}, m.Groups)
	m = one([]wire.Event{{Topic: "a", Keys: []string{strings.Repeat("\x01", 2000)}}}, 10)
	require.Equal(t, []wire.Group{{Topic: "a", All: true, Also: true}}, m.Groups, "a key that fits into no payload")
}

// Every key and every identity arrives; an identity never before the last key of its event.
func TestPackRoundTrip(t *testing.T) {
	t.Parallel()
	c := codec()
	rapid.Check(t, func(t *rapid.T) {
		maxKeys := rapid.IntRange(1, 2000).Draw(t, "maxKeys")
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Event {
			e := wire.Event{
				Topic: rapid.SampledFrom([]string{"a", "b", strings.Repeat("\"", 200)}).Draw(t, "topic"),
				HasID: rapid.Bool().Draw(t, "named"),
				All:   rapid.IntRange(0, 20).Draw(t, "all") == 0,
				At:    int64(rapid.IntRange(0, 3).Draw(t, "at")),
				ID:    position.EventID{XID: rapid.Uint64().Draw(t, "xid"), N: rapid.Int32().Draw(t, "n")},
			}
			if !e.All {
				e.Keys = rapid.SliceOfN(rapid.StringN(0, 300, 1024), 0, 30).Draw(t, "keys")
			}
			return e
		}), 0, 60).Draw(t, "events")
		var mark *wire.Mark
		if rapid.Bool().Draw(t, "marked") {
			mark = &wire.Mark{To: position.Stamp{Xmax: ^uint64(0), InProgress: ^uint32(0)}}
		}
		payloads := c.Pack(events, mark, mark != nil, maxKeys)

		keys, all, ids := map[string]bool{}, map[string]bool{}, map[position.EventID]int{}
		wrote := map[string]map[uint64]bool{} // by topic and key: the transactions named with it
		for i, payload := range payloads {
			if len(payload) > wire.MaxPayload {
				t.Fatalf("payload of %d bytes", len(payload))
			}
			m, err := c.Decode(payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range m.Groups {
				all[g.Topic] = all[g.Topic] || g.All
				for _, k := range append(g.Keys, "the whole topic, if it is") {
					named := wrote[g.Topic+"\x00"+k]
					if named == nil {
						named = map[uint64]bool{}
						wrote[g.Topic+"\x00"+k] = named
					}
					for _, id := range g.IDs {
						named[id.XID] = true
					}
					for _, xid := range g.XIDs {
						named[xid] = true
					}
				}
				for _, k := range g.Keys {
					keys[g.Topic+"\x00"+k] = true
				}
				// A receiver that knows every named event skips the group: then no other event's keys may be in it.
				if len(g.IDs) > 0 && !g.Also && !g.All {
					for _, k := range g.Keys {
						owned := false
						for _, e := range events {
							owned = owned || e.HasID && e.Topic == g.Topic && slices.Contains(g.IDs, e.ID) && slices.Contains(e.Keys, k)
						}
						if !owned {
							t.Fatalf("key %q is of no event that is named with it", k)
						}
					}
				}
				for _, id := range g.IDs {
					if _, ok := ids[id]; !ok {
						ids[id] = i
					}
					for _, e := range events {
						if e.HasID && e.ID == id && e.Topic == g.Topic {
							for _, k := range e.Keys {
								if !all[e.Topic] && !keys[e.Topic+"\x00"+k] {
									t.Fatalf("event %v is named before its key %q", id, k)
								}
							}
						}
					}
				}
			}
			if last := i == len(payloads)-1; (m.Mark != nil) != (mark != nil && last) {
				t.Fatalf("mark in payload %d of %d", i+1, len(payloads))
			}
		}
		for _, e := range events {
			if e.All && !all[e.Topic] {
				t.Fatal("whole topic lost")
			}
			for _, k := range e.Keys {
				if !all[e.Topic] && !keys[e.Topic+"\x00"+k] {
					t.Fatalf("key %q lost", k)
				}
				if all[e.Topic] {
					k = "the whole topic, if it is"
				}
				if e.ID.XID != 0 && !wrote[e.Topic+"\x00"+k][e.ID.XID] {
					t.Fatalf("transaction %d of key %q lost", e.ID.XID, k)
				}
			}
			if _, ok := ids[e.ID]; e.HasID && !e.Nothing() && !ok {
				t.Fatalf("identity %v lost", e.ID)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	c := codec()
	for _, p := range c.Pack([]wire.Event{{Topic: "users", Keys: []string{"1"}, HasID: true}}, &wire.Mark{}, true, 10) {
		f.Add(p, "")
	}

	f.Add("", `{"e":[{"t":"a","all":true}]}`)
	f.Add("2 x", `{"m":{"from":"1.1","to":"1.0"}}`)

	f.Fuzz(func(t *testing.T, payload, body string) {
		if _, err := c.Decode(payload); err != nil && !strings.HasPrefix(err.Error(), "wire: ") {
			t.Fatalf("unexpected error %v", err)
		}

		// A body with a good code reaches the parser: junk from a pod that knows the secret must not panic either.
		signed := fmt.Sprintf("1 %s %s", epoch, body)
		h := hmac.New(sha256.New, []byte("secret"))
		h.Write([]byte(signed))

		m, err := c.Decode(signed + " " + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12]))
		if err == nil && m == nil {
			t.Fatal("neither message nor error")
		}
	})
}

func BenchmarkPack(b *testing.B) {
	c := codec()
	events := make([]wire.Event, 50)
	for i := range events {
		events[i] = wire.Event{ID: position.EventID{XID: uint64(i)}, HasID: true, Topic: "users", Keys: []string{fmt.Sprint(i)}}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Pack(events, nil, false, 1000)
	}
}
