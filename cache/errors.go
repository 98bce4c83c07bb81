package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Errors of New.
var (
	// ErrConfig: an argument or a Config field has a value that cannot work; the text names it.
	ErrConfig = errors.New("cache: invalid configuration")
)

// Errors of reading.
var (
	// ErrNotFound is what a loader returns, as it is or wrapped, for a key that does not exist. It is cached like a value,
	// for NegativeTTL, so an insert must invalidate, too.
	ErrNotFound = errors.New("cache: not found")
	// ErrNotCached is what Peek returns for a key of which nothing is held that may be served.
	ErrNotCached = errors.New("cache: not cached")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("cache: closed")
	// ErrKey: the key's string cannot travel as an event's key; the text says why.
	ErrKey = errors.New("cache: invalid key")
	// ErrLoadTimeout: the loader took longer than LoadTimeout. It also matches context.DeadlineExceeded.
	ErrLoadTimeout error = timeoutError{}
	// ErrBehind: the loader was told to read from the primary (WantPrimary) and still returned a value from before an
	// invalidation. It was neither stored nor returned.
	ErrBehind = errors.New("cache: value older than a known invalidation")
	// ErrCycle: a loader asked for the key that it is loading, which would wait for itself.
	ErrCycle = errors.New("cache: loader waits for its own load")
	// ErrLoaderExit: the loader ended its goroutine with runtime.Goexit.
	ErrLoaderExit = errors.New("cache: loader ended its goroutine")
)

// Errors of invalidating.
var (
	// ErrForeignTx: the transaction was not begun by the bus, so it would not publish. Begin it with the bus, or use Stage.
	ErrForeignTx = errors.New("cache: transaction was not begun by the bus")
	// ErrUnsupported: this bus cannot do that; the text says what.
	ErrUnsupported = errors.New("cache: bus does not support this")
)

// Errors of tiers.
var (
	// ErrTierMiss is what a Tier's Get returns for a key that it does not hold.
	ErrTierMiss = errors.New("cache: not in the tier")
	// ErrTierRefuses is what a Tier's error wraps if it is about this value, too large for example, and says nothing about
	// how well the tier is: it counts as an error, but however often it comes, the tier is not left alone for it.
	ErrTierRefuses = errors.New("cache: value rejected by tier")
)

// KeysError is the error of GetMany and Warm: of some keys, or all. errors.Is and errors.As find each key's error in it.
type KeysError[K comparable] struct {
	Errors map[K]error
	first  error
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
	return e
}

// Error implements error. It does not contain the keys.
func (e *KeysError[K]) Error() string {
	if len(e.Errors) == 1 {
		return e.first.Error()
	}
	return fmt.Sprintf("%v (and %d keys more)", e.first, len(e.Errors)-1)
}

// Unwrap returns the first error, and all others that are not equal to one before.
func (e *KeysError[K]) Unwrap() []error {
	list := []error{e.first}
	for _, err := range e.Errors {
		if len(list) < maxKeysErrors && !slices.ContainsFunc(list, func(other error) bool { return errors.Is(other, err) }) {
			list = append(list, err)
		}
	}
	return list
}

// errAbandoned is why a load's context ends that nobody waits for any more.
var errAbandoned = errors.New("cache: nobody waits for this load any more")

var (
	// errEnded stands for the reason why a load's context has ended.
	errEnded = errors.New("cache: load has ended")
	// errCallbackSlow: a callback that the bus waits for took too long.
	errCallbackSlow = errors.New("cache: callback took too long")
)

// timeoutError is ErrLoadTimeout.
type timeoutError struct{}

func (timeoutError) Error() string   { return "cache: loader took too long" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// Is makes it match what the loader's own calls return when their context ends.
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// PanicError is returned to all readers who wait for a loader that panics, and by what calls another function of Config
// that does.
type PanicError struct {
	Callback string // "loader", or the name of the field of Config
	Value    any    // what it panicked with
	Stack    []byte // where
}

// Error implements error. The stack is not in it.
func (e *PanicError) Error() string {
	return fmt.Sprintf("cache: %s panicked: %v", e.Callback, e.Value)
}

// Unwrap is the value, if that is an error.
func (e *PanicError) Unwrap() error {
	err, ok := e.Value.(error)
	if !ok {
		return nil
	}
	return err
}
