package sessionstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// Remember records that an id was used, such as that of a provider's logout token, for ttl, in which it might be used
// again. kind separates ids of different use, 1 to 100 bytes. Only a hash is stored.
func (s *Store[T]) Remember(ctx context.Context, kind, id string, ttl time.Duration) error {
	if err := checkRemembered(kind, id); err != nil {
		return err
	}
	if ttl < time.Millisecond || ttl > maxAbsolute {
		return fmt.Errorf("%w: ttl: %v", ErrInvalid, ttl)
	}
	hash := rememberedHash(kind, id)
	_, err := s.pool.Exec(ctx, s.sql.remember, hash[:], ttl.Microseconds())
	return explain("remember", err)
}

// Remembers reports whether any pod has called Remember with this kind and id, and its ttl has not passed.
func (s *Store[T]) Remembers(ctx context.Context, kind, id string) (known bool, err error) {
	if err := checkRemembered(kind, id); err != nil {
		return false, err
	}
	hash := rememberedHash(kind, id)
	err = s.pool.QueryRow(ctx, s.sql.remembers, hash[:]).Scan(&known)
	return known, explain("remember", err)
}

func checkRemembered(kind, id string) error {
	switch {
	case kind == "" || len(kind) > 100:
		return fmt.Errorf("%w: kind has %d bytes, want 1 to 100", ErrInvalid, len(kind))
	case id == "":
		return fmt.Errorf("%w: id is empty", ErrInvalid)
	}
	return nil
}

// rememberedHash cannot be that of a one-time value, whose hash begins otherwise.
func rememberedHash(kind, id string) [32]byte {
	return sha256.Sum256([]byte("pgcoherence remembered " + kind + "\x00" + id))
}
