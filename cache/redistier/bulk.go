package redistier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/pgcoherence/pgcoherence/cache"
)

const (
	maxMGet     = 500 // keys of one command: while it runs, the server does nothing else
	maxPipeline = 256 // commands that are sent at once on a connection
)

var _ cache.BulkTier = (*Tier)(nil)

// GetMany implements cache.BulkTier. It returns the values of keys in their order, nil for missing ones. Values that
// it returns together with an error are valid. All commands are sent at once: MGET to a single server, and one GET
// per key to a cluster.
func (t *Tier) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if len(keys) == 0 {
		return values, nil
	}
	prefixed := make([]string, len(keys))
	for i, key := range keys {
		prefixed[i] = t.cfg.KeyPrefix + key
	}

	ctx, cancel := t.bounded(ctx)
	defer cancel()
	to, err := t.connected(ctx, t.lane(prefixed[0]))
	if err == nil && to.direct {
		err = to.mget(ctx, prefixed, values)
	} else if err == nil {
		err = to.getEach(ctx, prefixed, values)
	}
	if err != nil {
		return values, fmt.Errorf("redistier: get many: %w", err)
	}
	return values, nil
}

// mget reads keys of a server on its own.
func (l *link) mget(ctx context.Context, keys []string, values [][]byte) error {
	var commands []rueidis.Completed
	for from := 0; from < len(keys); from += maxMGet {
		commands = append(commands, l.client.B().Mget().Key(keys[from:min(from+maxMGet, len(keys))]...).Build())
	}

	results, err := l.many(ctx, commands)
	errs := []error{err}
	for i, result := range results {
		from := i * maxMGet
		want := min(maxMGet, len(keys)-from)
		messages, err := result.ToArray()
		if err == nil && len(messages) != want {
			err = fmt.Errorf("%w: %d values for %d keys", ErrProtocol, len(messages), want)
		}
		if err != nil {
			errs = append(errs, asProtocol(err))
			continue
		}

		for j := range messages {
			if messages[j].IsNil() {
				continue
			}
			value, err := valueOf(&messages[j])
			if err != nil {
				errs = append(errs, err)
				continue
			}
			values[from+j] = value
		}
	}
	return errors.Join(errs...)
}

// getEach reads keys that may be on several servers.
func (l *link) getEach(ctx context.Context, keys []string, values [][]byte) error {
	commands := make([]rueidis.Completed, len(keys))
	for i, key := range keys {
		commands[i] = l.client.B().Get().Key(key).Build()
	}

	results, err := l.many(ctx, commands)
	errs := []error{err}
	for i, result := range results {
		message, err := result.ToMessage()
		if rueidis.IsRedisNil(err) {
			continue
		}
		if err == nil {
			values[i], err = valueOf(&message)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// valueOf is a value, a copy of the caller's own, and not nil.
func valueOf(message *rueidis.RedisMessage) ([]byte, error) {
	value, err := message.AsBytes()
	switch {
	case err != nil:
		return nil, asProtocol(err)
	case value == nil:
		return []byte{}, nil
	case len(value) == 2:
		return bytes.Clone(value), nil // rueidis has one "OK" for all, in memory that cannot be written
	}
	return value, nil
}

// SetMany implements cache.BulkTier. It stores values with as few round trips as the connections allow. A value that
// Set would refuse does not prevent the others from being stored. The caller may change the values afterwards.
func (t *Tier) SetMany(ctx context.Context, items []cache.TierItem) error {
	ctx, cancel := t.bounded(ctx)
	defer cancel()
	var errs []error
	lanes := map[*lane][]cache.TierItem{}
	for _, item := range items {
		if err := t.refuses(item.Value, item.TTL); err != nil {
			errs = append(errs, err)
			continue
		}
		item.Key = t.cfg.KeyPrefix + item.Key
		at := t.lane(item.Key)
		lanes[at] = append(lanes[at], item)
	}

	var mu sync.Mutex
	var all sync.WaitGroup
	for at, items := range lanes {
		all.Add(1)
		started := t.start(func() {
			defer all.Done()
			if err := t.setOn(ctx, at, items); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
		if !started {
			all.Done()
			errs = append(errs, ErrClosed)
			break
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.readOnly(err)
		return fmt.Errorf("redistier: set many: %w", err)
	}
	return nil
}

// setOn stores values whose keys have their prefix.
func (t *Tier) setOn(ctx context.Context, at *lane, items []cache.TierItem) error {
	to, err := t.connected(ctx, at)
	if err != nil {
		return err
	}

	for len(items) > 0 {
		n := min(len(items), maxPipeline)
		commands := make([]rueidis.Completed, n)
		for i, item := range items[:n] {
			commands[i] = to.client.B().Set().Key(item.Key).Value(string(item.Value)).PxMilliseconds(milliseconds(item.TTL)).Build()
		}

		results, err := to.many(ctx, commands)
		if err != nil {
			return err
		}
		for _, result := range results {
			if err := wantText(result, "OK"); err != nil {
				return err
			}
		}
		items = items[n:]
	}
	return nil
}

// refuses returns why Set does not send a value.
func (t *Tier) refuses(value []byte, ttl time.Duration) error {
	switch {
	case ttl <= 0:
		return fmt.Errorf("%w: %v", ErrTTL, ttl)
	case len(value) > t.cfg.MaxValueSize:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(value), t.cfg.MaxValueSize)
	}
	return nil
}

// milliseconds rounds up: zero would be no time to live.
func milliseconds(ttl time.Duration) int64 { return int64((ttl-1)/time.Millisecond) + 1 }

// many sends commands at once, and leaves when ctx ends.
func (l *link) many(ctx context.Context, commands []rueidis.Completed) ([]rueidis.RedisResult, error) {
	if !l.direct {
		return l.detached(ctx, func(ctx context.Context) []rueidis.RedisResult { return l.client.DoMulti(ctx, commands...) })
	}
	n := int64(len(commands))
	if l.underWay.Add(n) > maxUnderWay {
		l.underWay.Add(-n)
		return nil, ErrBusy
	}
	results := l.client.DoMulti(ctx, commands...)
	l.underWay.Add(1 - n)
	l.leave(ctx, results[len(results)-1])
	return results, nil
}
