package cachetest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/cache"
)

// ErrClosed is returned by a MemoryTier after Close.
var ErrClosed = errors.New("cachetest: tier is closed")

// ErrTTL is returned by a MemoryTier for a time to live that is not positive.
var ErrTTL = errors.New("cachetest: time to live is not positive")

// MemoryTier is a cache.Tier in memory, for tests: several caches can share one, as pods share a Redis. It never
// evicts; expired values are removed when they are read. All methods are safe for concurrent use.
type MemoryTier struct {
	mu      sync.Mutex
	entries map[string]memoryEntry
	err     error
	delay   time.Duration
	closed  bool
}

type memoryEntry struct {
	value   []byte
	expires time.Time
}

var _ cache.BulkTier = (*MemoryTier)(nil)

// NewMemoryTier returns an empty MemoryTier.
func NewMemoryTier() *MemoryTier { return &MemoryTier{entries: map[string]memoryEntry{}} }

// Get implements cache.Tier.
func (m *MemoryTier) Get(ctx context.Context, key string) (value []byte, err error) {
	err = m.do(ctx, func() error {
		if value = m.find(key); value == nil {
			return cache.ErrTierMiss
		}
		return nil
	})
	return value, err
}

// GetMany implements cache.BulkTier.
func (m *MemoryTier) GetMany(ctx context.Context, keys []string) (values [][]byte, err error) {
	err = m.do(ctx, func() error {
		for _, key := range keys {
			values = append(values, m.find(key))
		}
		return nil
	})
	return values, err
}

// find returns a copy of a value; nil: there is none. The lock is held.
func (m *MemoryTier) find(key string) []byte {
	e, ok := m.entries[key]
	switch {
	case !ok:
		return nil
	case !time.Now().Before(e.expires):
		delete(m.entries, key)
		return nil
	}
	return append([]byte{}, e.value...)
}

// Set implements cache.Tier.
func (m *MemoryTier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl <= 0 {
		return ErrTTL
	}
	return m.do(ctx, func() error {
		m.entries[key] = memoryEntry{bytes.Clone(value), time.Now().Add(ttl)}
		return nil
	})
}

// SetMany implements cache.BulkTier.
func (m *MemoryTier) SetMany(ctx context.Context, items []cache.TierItem) error {
	return m.do(ctx, func() (err error) {
		for _, item := range items {
			if item.TTL <= 0 {
				err = ErrTTL
				continue
			}
			m.entries[item.Key] = memoryEntry{bytes.Clone(item.Value), time.Now().Add(item.TTL)}
		}
		return err
	})
}

// Delete implements cache.Tier.
func (m *MemoryTier) Delete(ctx context.Context, keys ...string) error {
	return m.do(ctx, func() error {
		for _, key := range keys {
			delete(m.entries, key)
		}
		return nil
	})
}

// Fail makes every later call return err. A nil err ends that.
func (m *MemoryTier) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// Delay makes every later call take d, or until its context ends.
func (m *MemoryTier) Delay(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = d
}

// Len returns the number of entries, including expired ones.
func (m *MemoryTier) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

// Flush removes everything, like a restart of Redis.
func (m *MemoryTier) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.entries)
}

// Close makes every later call fail with ErrClosed.
func (m *MemoryTier) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	clear(m.entries)
}

// do waits as long as Delay says, and then calls f under the lock.
func (m *MemoryTier) do(ctx context.Context, f func() error) error {
	m.mu.Lock()
	delay := m.delay
	m.mu.Unlock()

	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}

	if err := ctx.Err(); err != nil {
		return err
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if m.err != nil {
		return m.err
	}
	return f()
}
