package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Errors of [New].
var (
	// ErrConfig is returned when an argument or a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("cache: invalid configuration")
)

// Errors of reading.
var (
	// ErrNotFound is what a loader returns, directly or wrapped, for a key that does not exist. It is cached like a
	// value, for NegativeTTL, so inserts must invalidate, too.
	ErrNotFound = errors.New("cache: not found")
	// ErrNotCached is returned by Peek for a key without an entry that may be served.
	ErrNotCached = errors.New("cache: not cached")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("cache: closed")
	// ErrKey is returned when the text of a key cannot be a key of an event; the text of the error says why.
	ErrKey = errors.New("cache: invalid key")
	// ErrLoadTimeout is returned when the loader took longer than LoadTimeout. It also matches
	// context.DeadlineExceeded.
	ErrLoadTimeout error = timeoutError{}
	// ErrBehind is returned when a loader that should read from the primary (WantPrimary) returned a value from
	// before a known invalidation. The value was neither stored nor returned.
	ErrBehind = errors.New("cache: value older than a known invalidation")
	// ErrCycle is returned when a loader reads the key that it is loading, because that would wait for itself.
	ErrCycle = errors.New("cache: loader waits for its own load")
	// ErrLoaderExit is returned when the loader ended its goroutine with runtime.Goexit.
	ErrLoaderExit = errors.New("cache: loader ended its goroutine")
)

// Errors of invalidating.
var (
	// ErrForeignTx is returned for a transaction that was not begun by the bus and so would not publish. Begin it
	// with the bus, or use Stage.
	ErrForeignTx = errors.New("cache: transaction was not begun by the bus")
	// ErrUnsupported is returned when the bus does not support the operation; the text says which.
	ErrUnsupported = errors.New("cache: bus does not support this")
)

// Errors of tiers.
var (
	// ErrTierMiss is returned by a Tier's Get for a key without a value.
	ErrTierMiss = errors.New("cache: not in the tier")
	// ErrTierRefuses is wrapped by errors of a Tier that are about one value, for example a too large one, and do not
	// mean that the tier is unavailable. They are counted as errors, but never make the cache suspend the tier.
	ErrTierRefuses = errors.New("cache: value rejected by tier")
)

// KeysError is the error of GetMany and Warm when some or all keys could not be loaded. errors.Is and errors.As find
// each key's error in it.
type KeysError[K comparable] struct {
	Errors map[K]error
	first  error
	others []error // of keys that no map can hold, such as NaN or an interface with a slice in it
}

// maxKeysErrors is how many errors Unwrap returns: with thousands of keys, most are alike.
const maxKeysErrors = 16

func (e *KeysError[K]) add(key K, err error) {
	if e.Errors[key] == nil {
		e.Errors[key] = err
	}
}

func (e *KeysError[K]) merge(other *KeysError[K]) *KeysError[K] {
	if e == nil {
		return other
	}
	for key, err := range other.Errors {
		e.add(key, err)
	}
	e.others = append(e.others, other.others...)
	return e
}

// Error implements error. It does not contain the keys.
func (e *KeysError[K]) Error() string {
	more := len(e.Errors) + len(e.others) - 1
	if more == 0 {
		return fmt.Sprint(e.first)
	}
	return fmt.Sprintf("%v (and %d keys more)", e.first, more)
}

// Unwrap returns the distinct errors of the keys.
func (e *KeysError[K]) Unwrap() []error {
	list := []error{e.first}
	add := func(err error) {
		if len(list) < maxKeysErrors && !slices.ContainsFunc(list, func(other error) bool { return errors.Is(other, err) }) {
			list = append(list, err)
		}
	}

	for _, err := range e.Errors {
		add(err)
	}
	for _, err := range e.others {
		add(err)
	}
	return list
}

// errAbandoned is why a load's context ends that no reader waits for any more.
var errAbandoned = errors.New("cache: no reader waits for this load any more")

var (
	// errEnded stands for the reason why a load's context has ended.
	errEnded = errors.New("cache: load has ended")
	// errCallbackSlow: a callback took too long, and its caller did not wait any longer.
	errCallbackSlow = errors.New("cache: callback took too long")
	// errCallbackExit: a callback ended its goroutine with runtime.Goexit.
	errCallbackExit = errors.New("cache: callback ended its goroutine")
)

// timeoutError is ErrLoadTimeout.
type timeoutError struct{}

func (timeoutError) Error() string   { return "cache: loader took too long" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// Is makes it match what the loader's own calls return when their context ends.
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// PanicError is returned to all readers that wait for a loader that panics, and by methods that call another function
// of Config that panics.
type PanicError struct {
	Callback string // "loader", "loader's error" for its methods Is and Unwrap, or the name of the field of Config
	Value    any    // the value of the panic
	Stack    []byte // the stack of the panic

	hostile bool // the methods of the value panic
}

// Error implements error. It does not contain the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("cache: %s panicked: %v", e.Callback, e.Value)
}

// Unwrap returns the value if that is an error whose methods can be called, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, ok := e.Value.(error)
	if !ok || e.hostile {
		return nil
	}
	return err
}
