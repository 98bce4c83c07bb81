package lock

import (
	"context"
	"errors"
	"slices"
)

// AcquireMany takes the leases of all keys and waits for them until ctx ends. It first tries for all at once, as
// TryAcquireMany does. If it cannot have them, it takes them one after the other in the order of keys, each in its turn, and
// holds those it has, renewed, while it waits for the next: so it is not passed over for ever by those who want fewer, and
// two of these never wait for each other, because both begin at the same end. Whoever holds one of the keys and then asks
// for a smaller one by Acquire gives that up. After an error nothing is held; if one of the leases was lost meanwhile, the
// error is a *LostError. The leases come in the order of the keys given, and are released one by one.
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
