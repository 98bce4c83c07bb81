package cachetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/cache"
)

// patience bounds whatever TierContract waits for. Only a fault reaches it.
const patience = 30 * time.Second

// TierContract checks that tiers do what cache.Tier requires. make returns a tier for each check: all of the same
// store, or each of an empty one. A tier with a method Close() or Close() error is closed at the end of its check,
// and must return errors from then on. Run it under the race detector.
func TierContract(t TB, make func() cache.Tier) {
	t.Helper()
	for _, check := range []struct {
		name string
		run  func(context.Context, cache.Tier, string) error
	}{
		{"what is absent is a miss", checkAbsent},
		{"what was set is there, is overwritten, is deleted", checkRoundTrip},
		{"keys and values are any bytes", checkBytes},
		{"values are copies", checkCopies},
		{"entries expire", checkExpiry},
		{"a time to live has to be positive", checkTTL},
		{"many keys are deleted at once", checkManyKeys},
		{"many keys are read and set at once", checkBulk},
		{"an ended context is an error and no miss", checkContext},
		{"many use it at a time", checkConcurrent},
		{"after Close all is an error", checkClose},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		tier := make()

		// Each check has keys of its own: the store may outlive it.
		err := check.run(ctx, tier, "contract/"+strings.ReplaceAll(check.name, " ", "-")+"/")
		cancel()
		closeTier(tier)

		if err != nil {
			t.Errorf("cachetest: %s: %v", check.name, err)
		}
	}
}

func closeTier(tier cache.Tier) bool {
	switch c := tier.(type) {
	case interface{ Close() }:
		c.Close()
	case interface{ Close() error }:
		_ = c.Close()
	default:
		return false
	}
	return true
}

// wantMiss also fails for a tier that returns nil, nil.
func wantMiss(ctx context.Context, tier cache.Tier, key string) error {
	if value, err := tier.Get(ctx, key); !errors.Is(err, cache.ErrTierMiss) {
		return fmt.Errorf("Get(%.40q) = %.40q, %w; want ErrTierMiss", key, value, orNil(err))
	}
	return nil
}

func wantValue(ctx context.Context, tier cache.Tier, key string, want []byte) error {
	value, err := tier.Get(ctx, key)
	if err != nil || !bytes.Equal(value, want) {
		return fmt.Errorf("Get(%.40q) = %.40q (%d bytes), %w; want %.40q (%d bytes)", key, value, len(value), orNil(err), want, len(want))
	}
	return nil
}

var errNil = errors.New("nil")

// orNil lets an error that may be nil be printed with %w.
func orNil(err error) error {
	if err == nil {
		return errNil
	}
	return err
}

func checkAbsent(ctx context.Context, tier cache.Tier, prefix string) error {
	return errors.Join(wantMiss(ctx, tier, prefix+"absent"), tier.Delete(ctx, prefix+"absent"), tier.Delete(ctx))
}

func checkRoundTrip(ctx context.Context, tier cache.Tier, prefix string) error {
	key := prefix + "key"
	return errors.Join(
		tier.Set(ctx, key, []byte("one"), time.Hour), wantValue(ctx, tier, key, []byte("one")),
		wantMiss(ctx, tier, key+"2"), wantMiss(ctx, tier, prefix+"ke"),
		tier.Set(ctx, key, []byte("two"), time.Hour), wantValue(ctx, tier, key, []byte("two")),
		tier.Delete(ctx, key), wantMiss(ctx, tier, key),
		tier.Set(ctx, key, []byte("three"), time.Hour), wantValue(ctx, tier, key, []byte("three")),
	)
}

func checkBytes(ctx context.Context, tier cache.Tier, prefix string) error {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	values := [][]byte{{}, {0}, []byte("OK"), []byte("-ERR\r\n"), []byte("$5\r\nhello\r\n"), every, bytes.Repeat(every, 1<<10)}
	keys := []string{"", " ", "\r\n", "a b", "{a}b", "a:b:*", "ключ", string(every), strings.Repeat("k", 4<<10)}

	var errs []error
	for i, value := range values {
		for _, key := range keys {
			key = fmt.Sprintf("%s%d/%s", prefix, i, key)
			errs = append(errs, tier.Set(ctx, key, value, time.Hour), wantValue(ctx, tier, key, value), tier.Delete(ctx, key))
		}
	}

	key := prefix + "nil"
	errs = append(errs, tier.Set(ctx, key, nil, time.Hour), wantValue(ctx, tier, key, nil))
	return errors.Join(errs...)
}

func checkCopies(ctx context.Context, tier cache.Tier, prefix string) error {
	for _, text := range []string{"value", "OK"} {
		key, value := prefix+text, []byte(text)
		if err := tier.Set(ctx, key, value, time.Hour); err != nil {
			return err
		}

		value[0] = 'x'
		if err := wantValue(ctx, tier, key, []byte(text)); err != nil {
			return fmt.Errorf("after what Set got was changed: %w", err)
		}

		got, err := tier.Get(ctx, key)
		if err != nil {
			return err
		}
		got[0] = 'x'
		if err := wantValue(ctx, tier, key, []byte(text)); err != nil {
			return fmt.Errorf("after what Get returned was changed: %w", err)
		}
	}
	return nil
}

func checkExpiry(ctx context.Context, tier cache.Tier, prefix string) error {
	brief, long, tiny := prefix+"brief", prefix+"long", prefix+"tiny"
	if err := errors.Join(
		tier.Set(ctx, long, []byte("v"), time.Hour),
		tier.Set(ctx, brief, []byte("v"), time.Hour), tier.Set(ctx, brief, []byte("v"), 20*time.Millisecond),
		tier.Set(ctx, tiny, []byte("v"), time.Nanosecond),
	); err != nil {
		return err
	}

	for _, key := range []string{brief, tiny} {
		for wantMiss(ctx, tier, key) != nil {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s does not expire", key)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return wantValue(ctx, tier, long, []byte("v"))
}

func checkTTL(ctx context.Context, tier cache.Tier, prefix string) error {
	key := prefix + "key"
	for _, ttl := range []time.Duration{0, -time.Nanosecond, -time.Hour} {
		if tier.Set(ctx, key, []byte("v"), ttl) == nil {
			return fmt.Errorf("Set with %v is no error", ttl)
		}
	}
	return wantMiss(ctx, tier, key)
}

func checkManyKeys(ctx context.Context, tier cache.Tier, prefix string) error {
	var keys []string
	for i := range 1500 {
		keys = append(keys, fmt.Sprintf("%s%d", prefix, i))
	}

	rest := prefix + "rest"
	for _, key := range append(keys, rest) {
		if err := tier.Set(ctx, key, []byte(key), time.Hour); err != nil {
			return err
		}
	}

	if err := tier.Delete(ctx, append(keys, keys[0], prefix+"absent")...); err != nil {
		return err
	}
	for _, key := range keys {
		if err := wantMiss(ctx, tier, key); err != nil {
			return err
		}
	}
	return wantValue(ctx, tier, rest, []byte(rest))
}

// checkBulk checks a tier that is a cache.BulkTier.
func checkBulk(ctx context.Context, tier cache.Tier, prefix string) error {
	bulk, ok := tier.(cache.BulkTier)
	if !ok {
		return nil
	}
	if values, err := bulk.GetMany(ctx, nil); err != nil || len(values) != 0 {
		return fmt.Errorf("GetMany of nothing = %d values, %w", len(values), orNil(err))
	}
	if err := bulk.SetMany(ctx, nil); err != nil {
		return fmt.Errorf("SetMany of nothing: %w", err)
	}

	var keys []string
	var items []cache.TierItem
	for i := range 1200 {
		key := fmt.Sprintf("%s%d", prefix, i)
		if keys = append(keys, key); i%3 != 0 {
			items = append(items, cache.TierItem{Key: key, Value: []byte(key), TTL: time.Hour})
		}
	}
	items[0].Value, items[1].Value = nil, []byte("OK")
	keys = append(keys, keys[1], keys[0]) // a key that is asked for twice is returned twice
	if err := bulk.SetMany(ctx, items); err != nil {
		return err
	}
	values, err := bulk.GetMany(ctx, keys)
	if err != nil || len(values) != len(keys) {
		return fmt.Errorf("GetMany of %d keys = %d values, %w", len(keys), len(values), orNil(err))
	}
	want := map[string][]byte{}
	for _, item := range items {
		want[item.Key] = append([]byte{}, item.Value...)
	}
	for i, key := range keys {
		if (values[i] == nil) != (want[key] == nil) || !bytes.Equal(values[i], want[key]) {
			return fmt.Errorf("GetMany: %q for %.60q; want %q", values[i], key, want[key])
		}
		if len(values[i]) > 0 {
			values[i][0] = '!' // they are the caller's
		}
	}
	if err := errors.Join(wantValue(ctx, tier, keys[4], []byte(keys[4])), wantMiss(ctx, tier, keys[3])); err != nil {
		return err
	}

	// One bad item does not keep the others from being stored, and is an error.
	bad := []cache.TierItem{{Key: keys[3], Value: []byte("v"), TTL: 0}, {Key: keys[6], Value: []byte("v"), TTL: time.Hour}}
	if bulk.SetMany(ctx, bad) == nil {
		return errors.New("SetMany without a time to live is no error")
	}
	if err := errors.Join(wantMiss(ctx, tier, keys[3]), wantValue(ctx, tier, keys[6], []byte("v"))); err != nil {
		return err
	}

	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := bulk.GetMany(ended, keys); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("GetMany with an ended context: %w", orNil(err))
	}
	if err := bulk.SetMany(ended, items); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("SetMany with an ended context: %w", orNil(err))
	}
	return nil
}

func checkContext(ctx context.Context, tier cache.Tier, prefix string) error {
	key := prefix + "key"
	if err := tier.Set(ctx, key, []byte("v"), time.Hour); err != nil {
		return err
	}

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	late, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()

	for want, ended := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late} {
		for _, k := range []string{key, prefix + "absent"} {
			if _, err := tier.Get(ended, k); !errors.Is(err, want) {
				return fmt.Errorf("Get with an ended context: %w; want %w", orNil(err), want)
			}
		}
		if err := tier.Set(ended, key, []byte("w"), time.Hour); !errors.Is(err, want) {
			return fmt.Errorf("Set with an ended context: %w; want %w", orNil(err), want)
		}
		if err := tier.Delete(ended, key); !errors.Is(err, want) {
			return fmt.Errorf("Delete with an ended context: %w; want %w", orNil(err), want)
		}
	}
	return wantValue(ctx, tier, key, []byte("v"))
}

func checkConcurrent(ctx context.Context, tier cache.Tier, prefix string) error {
	const many, rounds = 16, 50
	errs := make([]error, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			own, shared := fmt.Sprintf("%s%d", prefix, i), prefix+"shared"
			for round := range rounds {
				value := fmt.Appendf(nil, "%d/%d", i, round)
				errs[i] = errors.Join(
					tier.Set(ctx, own, value, time.Hour), wantValue(ctx, tier, own, value), tier.Delete(ctx, own), wantMiss(ctx, tier, own),
					tier.Set(ctx, shared, value, time.Hour),
				)
				if _, err := tier.Get(ctx, shared); err != nil && !errors.Is(err, cache.ErrTierMiss) {
					errs[i] = errors.Join(errs[i], err)
				}
				errs[i] = errors.Join(errs[i], tier.Delete(ctx, shared))
				if errs[i] != nil {
					return
				}
			}
		})
	}

	all.Wait()
	return errors.Join(errs...)
}

func checkClose(ctx context.Context, tier cache.Tier, prefix string) error {
	key := prefix + "key"
	if err := tier.Set(ctx, key, []byte("v"), time.Hour); err != nil {
		return err
	}

	if !closeTier(tier) {
		return nil // nothing to close
	}

	if _, err := tier.Get(ctx, key); err == nil || errors.Is(err, cache.ErrTierMiss) {
		return fmt.Errorf("Get after Close: %w", orNil(err))
	}
	if tier.Set(ctx, key, []byte("v"), time.Hour) == nil || tier.Delete(ctx, key) == nil {
		return errors.New("Set or Delete after Close is no error")
	}
	closeTier(tier) // twice is harmless
	return nil
}
