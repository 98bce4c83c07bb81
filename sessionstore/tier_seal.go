package sessionstore

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/cache"
)

// sealedTier is a tier whose entries only pods with access to the database can read or make. An entry is encrypted
// together with what the cache says of it, from when it is above all, and bound to its key: a writer of the tier
// can do no more than delete.
type sealedTier struct {
	cache.Tier
	aead atomic.Pointer[cipher.AEAD] // nil until the database has been asked for the key
	open bool                        // see Weaken
}

var errTierKey = errors.New("sessionstore: key of the tier is too short")

const (
	tierSealVersion = 1
	minTierKey      = 32
)

// setKey takes what the database holds.
func (t *sealedTier) setKey(secret []byte) error {
	if len(secret) < minTierKey {
		return errTierKey
	}
	k, err := hkdf.Key(sha256.New, secret, nil, "pgcoherence session tier", dataKeyBytes)
	if err != nil {
		return errTierKey
	}
	aead := gcm(k)
	t.aead.Store(&aead)
	return nil
}

// Get implements cache.Tier. What does not open is a miss, and counted as unreadable by the cache.
func (t *sealedTier) Get(ctx context.Context, key string) ([]byte, error) {
	if t.open {
		return t.Tier.Get(ctx, key)
	}
	aead := t.aead.Load()
	if aead == nil {
		return nil, cache.ErrTierMiss
	}

	sealed, err := t.Tier.Get(ctx, key)
	if err != nil {
		return nil, err
	}

	if len(sealed) < 1+nonceBytes || sealed[0] != tierSealVersion {
		return nil, cache.ErrTierMiss
	}
	value, err := (*aead).Open(nil, sealed[1:1+nonceBytes], sealed[1+nonceBytes:], []byte(key))
	if err != nil {
		return nil, cache.ErrTierMiss //nolint:nilerr // of another database, or forged
	}

	return value, nil
}

// Set implements cache.Tier.
func (t *sealedTier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if t.open {
		return t.Tier.Set(ctx, key, value, ttl)
	}
	aead := t.aead.Load()
	if aead == nil {
		return nil // nothing is stored that others could not trust
	}
	b := make([]byte, 1+nonceBytes, 1+nonceBytes+len(value)+overhead)
	b[0] = tierSealVersion
	_, _ = rand.Read(b[1:])
	return t.Tier.Set(ctx, key, (*aead).Seal(b, b[1:], value, []byte(key)), ttl)
}

// loadTierKey asks for the key once. Without it the tier is not used.
func (s *Store[T]) loadTierKey(ctx context.Context) {
	if s.tier == nil || s.tier.aead.Load() != nil {
		return
	}
	var secret []byte
	err := s.pool.QueryRow(ctx, s.sql.tierKey).Scan(&secret)
	if err == nil {
		err = s.tier.setKey(secret)
	}
	if err != nil {
		s.log.WarnContext(ctx, "tier not used: its key is not known", slog.Any("error", explain("tier key", err)))
	}
}
