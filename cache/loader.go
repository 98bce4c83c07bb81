package cache

import (
	"context"
	"time"
)

// Loader reads values that are not in the cache. It is called concurrently for different keys, and for one key at
// most twice at once: for readers from before an invalidation, and for those from after it. ctx has the values of the
// context of the reader that began the load (see Config.LoadContext) and the deadline of LoadTimeout, but no deadline
// or transaction of that reader. Pass it on to what the loader calls, including other caches: it identifies loads
// within loads.
//
// For a key that does not exist it returns an error that is or wraps [ErrNotFound], or that Config.NotFound
// recognizes; Tags and TTL are used in this case, too. After any other error nothing is stored. A panic becomes a
// *[PanicError] for all readers.
type Loader[K comparable, V any] interface {
	Load(ctx context.Context, key K) (Loaded[V], error)
}

// BatchLoader is a [Loader] that can read many keys at once. GetMany then uses LoadMany. Keys that are missing in the
// returned map are not found.
type BatchLoader[K comparable, V any] interface {
	Loader[K, V]
	LoadMany(ctx context.Context, keys []K) (map[K]Loaded[V], error)
}

// Loaded is the result of a loader. Most loaders set only Value.
type Loaded[V any] struct {
	Value V
	// TTL is how long this value may be kept. Zero means the TTL or NegativeTTL of the cache; with a negative value
	// it is not kept.
	TTL time.Duration
	// Tags are names by which InvalidateTags finds this value, one for each thing that it was made from. An
	// invalidation of a tag during the load counts, although the tags are only known at its end. A value with a tag that
	// no event can name is not stored: one that is too long (see MaxKeyLen), contains NUL or is not valid UTF-8.
	Tags []string
	// Snapshot is the snapshot of the read. Set it if the value may come from a standby, see InSnapshot. Zero means
	// that it was read from the primary after the load began.
	Snapshot Snapshot
}

// Func makes a [Loader] of a function that returns only a value.
func Func[K comparable, V any](f func(context.Context, K) (V, error)) Loader[K, V] {
	if f == nil {
		return nil
	}
	return plainLoader[K, V](f)
}

type plainLoader[K comparable, V any] func(context.Context, K) (V, error)

// Load implements Loader.
func (f plainLoader[K, V]) Load(ctx context.Context, key K) (Loaded[V], error) {
	v, err := f(ctx, key)
	return Loaded[V]{Value: v}, err
}

// LoaderFunc is a function that implements [Loader].
type LoaderFunc[K comparable, V any] func(ctx context.Context, key K) (Loaded[V], error)

// Load implements Loader.
func (f LoaderFunc[K, V]) Load(ctx context.Context, key K) (Loaded[V], error) { return f(ctx, key) }

// BatchFunc is a function that implements [BatchLoader].
type BatchFunc[K comparable, V any] func(ctx context.Context, keys []K) (map[K]Loaded[V], error)

// Load implements Loader.
func (f BatchFunc[K, V]) Load(ctx context.Context, key K) (Loaded[V], error) {
	found, err := f(ctx, []K{key})
	if err != nil {
		return Loaded[V]{}, err
	}
	l, ok := found[key]
	if !ok {
		return Loaded[V]{}, ErrNotFound
	}
	return l, nil
}

// LoadMany implements BatchLoader.
func (f BatchFunc[K, V]) LoadMany(ctx context.Context, keys []K) (map[K]Loaded[V], error) {
	return f(ctx, keys)
}

type primaryKey struct{}

// WantPrimary reports, within a loader, whether the load must read from the primary. That is so for GetFresh, after a
// value from a standby was refused, and while the bus is not fresh.
func WantPrimary(ctx context.Context) bool {
	want, _ := ctx.Value(primaryKey{}).(bool)
	return want
}

func wantPrimary(ctx context.Context) context.Context {
	return context.WithValue(ctx, primaryKey{}, true)
}
