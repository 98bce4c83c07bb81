package cache

import (
	"context"
	"time"
)

// Loader reads what the cache does not hold. It is called for many keys at a time, and for one key at most twice: once for
// those who asked before an invalidation, and once for those who asked after it. ctx carries values of the context of the
// reader that began the load, see Config.LoadContext, and LoadTimeout, but no deadline or transaction of that reader's. Pass
// it on to what the loader calls, other caches included: loads within loads are found by it.
//
// A key that does not exist is an error that is or wraps ErrNotFound, or that Config.NotFound knows; Tags and TTL count with it
// as well. After any other error nothing is stored. A panic becomes a *PanicError for all who wait.
type Loader[K comparable, V any] interface {
	Load(ctx context.Context, key K) (Loaded[V], error)
}

// BatchLoader is a Loader that can read many keys at once; GetMany then uses it. Keys that are not in the answer are
// not found.
type BatchLoader[K comparable, V any] interface {
	Loader[K, V]
	LoadMany(ctx context.Context, keys []K) (map[K]Loaded[V], error)
}

// Loaded is what a loader has read. For most, Value is all there is to say.
type Loaded[V any] struct {
	Value V
	// TTL is how long this value may be kept. Zero: the cache's TTL, or NegativeTTL. Negative: it is not kept.
	TTL time.Duration
	// Tags are names under which InvalidateTags finds this value: of all that it was made from. They count from before
	// the load began, although they are only known at its end.
	Tags []string
	// Snapshot says what the value was read in. Give it if the value may come from a standby, see InSnapshot; zero means
	// that it was read from the primary after the load began.
	Snapshot Snapshot
}

// Func makes a Loader of a function.
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

// LoaderFunc is a function that is a Loader.
type LoaderFunc[K comparable, V any] func(ctx context.Context, key K) (Loaded[V], error)

// Load implements Loader.
func (f LoaderFunc[K, V]) Load(ctx context.Context, key K) (Loaded[V], error) { return f(ctx, key) }

// BatchFunc is a function that is a BatchLoader.
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

// WantPrimary says, within a loader, that what a standby has is known not to do: the load is to read from the primary.
// So it is for GetFresh, after a value from a standby was refused, and while the bus is not fresh.
func WantPrimary(ctx context.Context) bool {
	want, _ := ctx.Value(primaryKey{}).(bool)
	return want
}

func wantPrimary(ctx context.Context) context.Context {
	return context.WithValue(ctx, primaryKey{}, true)
}
