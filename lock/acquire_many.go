package lock

import (
	"context"
	"errors"
	"slices"
)

// AcquireMany acquires the leases of all keys, and waits for them until ctx ends. It first tries all at once, as
// [Locker.TryAcquireMany] does. If that fails, it acquires them one by one in the order of the keys, and keeps and
// renews those that it has while it waits for the next. So callers that need fewer keys cannot starve it, and two
// calls cannot deadlock, because both use the same order. A caller that holds a key and then acquires a smaller one
// with Acquire loses that protection.
//
// After an error no lease is held; if one was lost in the meantime, the error is a *[LostError]. The result has the
// order of the given keys. Release each lease.
func (l *Locker) AcquireMany(ctx context.Context, keys ...string) ([]*Lease, error) {
	leases, err := l.TryAcquireMany(ctx, keys...)
	if err == nil || !errors.Is(err, ErrHeld) {
		return leases, err
	}

	byKey := make(map[string]*Lease, len(keys))
	for _, key := range slices.Sorted(slices.Values(keys)) { // by bytes, as the database does
		lease, err := l.Acquire(ctx, key)
		if err != nil {
			return nil, errors.Join(err, releaseAll(ctx, byKey))
		}
		byKey[key] = lease
	}
	for _, lease := range byKey {
		if err := lease.Err(); err != nil {
			return nil, errors.Join(err, releaseAll(ctx, byKey))
		}
	}
	leases = make([]*Lease, len(keys))
	for i, key := range keys {
		leases[i] = byKey[key]
	}
	return leases, nil
}

// releaseAll gives up what is held. What was lost is not worth an error.
func releaseAll(ctx context.Context, leases map[string]*Lease) (err error) {
	for _, lease := range leases {
		if released := lease.Release(ctx); released != nil && !errors.Is(released, ErrLost) {
			err = errors.Join(err, released)
		}
	}
	return err
}
