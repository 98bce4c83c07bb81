package cache

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

type shapeTree struct {
	Left, Right *shapeTree
	Names       []string
}

type shapeTree2 struct {
	Left, Right *shapeTree2
	Names       map[string]string
}

type shapeSelf struct{ A int }

func (shapeSelf) MarshalJSON() ([]byte, error) { return json.Marshal(1) }

// Types that look the same to a codec have one shape, and all others have another.
func TestShape(t *testing.T) {
	t.Parallel()
	type named string
	type same struct{ A, B int }
	require.Equal(t, shapeOf(reflect.TypeFor[struct{ A, B int }]()), shapeOf(reflect.TypeFor[same]()))
	require.Equal(t, shapeOf(reflect.TypeFor[string]()), shapeOf(reflect.TypeFor[named]()))

	seen := map[string]reflect.Type{}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[int64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[4]byte](),
		reflect.TypeFor[[5]byte](), reflect.TypeFor[*int](), reflect.TypeFor[**int](), reflect.TypeFor[map[string]int](),
		reflect.TypeFor[map[int]string](), reflect.TypeFor[any](), reflect.TypeFor[error](), reflect.TypeFor[struct{}](),
		reflect.TypeFor[struct{ A int }](), reflect.TypeFor[struct{ B int }](), reflect.TypeFor[struct{ A, B int }](),
		reflect.TypeFor[struct{ B, A int }](), reflect.TypeFor[struct{ a int }](), reflect.TypeFor[struct {
			A int `json:"a"`
		}](), reflect.TypeFor[struct{ A struct{ B int } }](), reflect.TypeFor[struct{ A []struct{ B int } }](),
		reflect.TypeFor[shapeTree](), reflect.TypeFor[shapeTree2](), reflect.TypeFor[shapeSelf](), reflect.TypeFor[struct{ shapeTree }](),
		reflect.TypeFor[struct{ Tree shapeTree }](), reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[chan int](),
		reflect.TypeFor[func()](), reflect.TypeFor[float32](), reflect.TypeFor[complex128](), reflect.TypeFor[bool](),
	} {
		shape := shapeOf(typ)
		require.Equal(t, shape, shapeOf(typ))
		require.Nil(t, seen[shape], "%v and %v", typ, seen[shape])
		if typ != reflect.TypeFor[int64]() {
			seen[shape] = typ
		}
	}
	require.Equal(t, shapeOf(reflect.TypeFor[int64]()), shapeOf(reflect.TypeFor[time.Duration]()))
}

// Different keys have different encodings, equal ones the same, whatever the type.
func TestKeyProof(t *testing.T) {
	t.Parallel()
	type pair struct{ a, b string }
	type rich struct {
		A int8
		b any //nolint:unused // part of the type's shape
		C [2]bool
		_ int
		d netip.Addr
		T time.Time
	}
	at := time.Date(2026, 11, 27, 0, 0, 0, 1, time.UTC)
	zero := 0.0
	for _, keys := range [][]any{
		{pair{"a", "b"}, pair{"ab", ""}, pair{"", "ab"}, pair{"a\x00", "b"}, pair{"a", "\x00b"}, pair{}},
		{
			rich{},
			rich{A: 1},
			rich{A: -1},
			rich{C: [2]bool{true}},
			rich{C: [2]bool{false, true}},
			rich{T: at},
			rich{T: at.Add(1)},
			rich{d: netip.MustParseAddr("::1")},
			rich{d: netip.MustParseAddr("1.2.3.4")},
		},
		{1.5, -1.5, 0.0, 1e300},
		{uint8(1), uint8(2)},
		{complex(1, 2), complex(2, 1)},
		{"", "a", "aa"},
		{[2]string{"a", "b"}, [2]string{"ab", ""}},
	} {
		seen := map[string]any{}
		for _, key := range keys {
			v := reflect.New(reflect.TypeOf(key)).Elem()
			v.Set(reflect.ValueOf(key))
			require.NoError(t, portable(v.Type()))
			b, err := appendKey(nil, v)
			require.NoError(t, err)
			require.NotContains(t, seen, string(b), "%#v and %#v", key, seen[string(b)])
			seen[string(b)] = key
		}
	}
	a, b := appendFloat(nil, zero), appendFloat(nil, -zero)
	require.Equal(t, a, b, "they are equal")

	// What an interface holds counts with its type, and one that means nothing elsewhere is an error.
	type dynamic struct{ Of any }
	proofs := map[string]bool{}
	for _, of := range []any{nil, 1, int8(1), "1", [1]int{1}, pair{"1", ""}, time.Second} {
		k := dynamic{of}
		p, err := appendKey(nil, reflect.ValueOf(&k).Elem())
		require.NoError(t, err)
		require.False(t, proofs[string(p)], "%#v", of)
		proofs[string(p)] = true
	}
	k := dynamic{new(int)}
	_, err := appendKey(nil, reflect.ValueOf(&k).Elem())
	require.ErrorIs(t, err, ErrKey)
}

// Whatever is in a tier, it is a value of this key and program that has not expired, or a miss.
func FuzzTierOpen(f *testing.F) {
	n, err := newNaming(func(k [2]string) string { return k[0] + ":" + k[1] }, nil)
	require.NoError(f, err)
	proof, err := newKeyProof(n)
	require.NoError(f, err)
	tr := &tier[[2]string, map[string]int]{
		names: newTierNames("t", "json", "1"), proof: proof, codec: Compressed(JSON[map[string]int]()), stats: &counters{}, absent: true,
	}
	key := [2]string{"a", "b"}
	p, err := proof(key)
	require.NoError(f, err)

	good := func(change func(*envelope)) []byte {
		e := &envelope{
			topic: "t", name: "a:b", proof: p, program: tr.names.program, epoch: "e",
			at: position.Snapshot{Xmin: 5, Xmax: 9, Xip: []uint64{5, 7}}, tags: []string{"x"}, expires: 1 << 62,
		}
		data, err := tr.encode(map[string]int{"a": 1})
		require.NoError(f, err)
		e.value = data
		change(e)
		return e.bytes()
	}
	require.NotNil(f, tr.open(key, "a:b", "e", good(func(*envelope) {}), time.Now()).envelope)

	for _, change := range []func(*envelope){
		func(e *envelope) { e.topic = "T" }, func(e *envelope) { e.name = "a" }, func(e *envelope) { e.proof = "" },
		func(e *envelope) { e.program = "" }, func(e *envelope) { e.epoch = "" }, func(e *envelope) { e.expires = 1 },
		func(e *envelope) { e.value = nil },
	} {
		require.Nil(f, tr.open(key, "a:b", "e", good(change), time.Now()).envelope)
		f.Add(good(change))
	}

	f.Add(good(func(*envelope) {}))
	f.Add(good(func(e *envelope) { e.absent = true }))

	f.Fuzz(func(t *testing.T, data []byte) {
		found := tr.open(key, "a:b", "e", data, time.Now())
		if e := found.envelope; e != nil {
			require.Equal(t, []string{"t", "a:b", p, tr.names.program, "e"}, []string{e.topic, e.name, e.proof, e.program, e.epoch})
			_, err := position.ParseSnapshot(e.at.String())
			require.NoError(t, err)
		}
	})
}

// What the package's version before has written is a miss, and what this one writes is one for that: its first byte was 1,
// and it took no other.
func TestEnvelope_OfTheVersionBefore(t *testing.T) {
	t.Parallel()
	e := envelope{topic: "t", name: "k", epoch: "e", at: position.Snapshot{Xmin: 5, Xmax: 5}}
	require.NotEqual(t, byte(1), e.bytes()[0])
	old := append([]byte{1}, e.bytes()[2:]...)
	_, err := parseEnvelope(old)
	require.ErrorIs(t, err, errEnvelope)
}
