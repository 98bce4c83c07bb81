package sessionstore

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// localValue is a one-time value.
type localValue struct {
	Binding, Data []byte
	Until         time.Time
}

// PutOneTime implements Sessions.
func (s *LocalStore[T]) PutOneTime(ctx context.Context, kind string, data []byte, o *OneTimeOptions) (value string, err error) {
	options, err := s.form.oneTimeOptions(kind, data, o)
	if err != nil {
		return "", err
	}

	sec := newSecret()
	hash := digest(oneTimeHash(kind, &sec))
	_, err = s.write(ctx, func(now time.Time, w *localWrite) error {
		v := localValue{bindingHash(options.Binding), s.form.packOneTime(&sec, data), now.Add(options.TTL)}
		w.rows = append(w.rows, rowOf(kindOneTime, hex.EncodeToString(hash[:]), v))
		w.apply = append(w.apply, func() { s.oneTime[hash] = v })
		return nil
	})
	if err != nil {
		return "", err
	}
	return encoding.EncodeToString(sec[:]), nil
}

// TakeOneTime implements Sessions.
func (s *LocalStore[T]) TakeOneTime(ctx context.Context, kind, value, binding string) ([]byte, error) {
	sec, _, err := (&sealer{}).parse(value) // one-time values carry no seal
	if err != nil {
		return nil, err
	}

	hash := digest(oneTimeHash(kind, &sec))
	var v localValue
	var late bool
	_, err = s.write(ctx, func(now time.Time, w *localWrite) error {
		var ok bool
		if v, ok = s.oneTime[hash]; !ok {
			return ErrNotFound
		}
		late = !now.Before(v.Until)
		w.rows = append(w.rows, localRow{kind: kindOneTime, id: hex.EncodeToString(hash[:])})
		w.apply = append(w.apply, func() { delete(s.oneTime, hash) })
		return nil
	})

	switch {
	case err != nil:
		return nil, err
	case late:
		return nil, ErrExpired
	case v.Binding != nil && subtle.ConstantTimeCompare(v.Binding, bindingHash(binding)) != 1:
		return nil, ErrBinding
	}

	_, data, err := unpack(v.Data, uuid.Nil, 0, func() (dataKey, error) { return oneTimeKey(&sec), nil })
	return data, err
}

// Remember implements Sessions.
func (s *LocalStore[T]) Remember(ctx context.Context, kind, id string, ttl time.Duration) error {
	if err := checkRemembered(kind, id); err != nil {
		return err
	}
	if ttl < time.Millisecond || ttl > maxAbsolute {
		return fmt.Errorf("%w: ttl: %v", ErrInvalid, ttl)
	}

	hash := digest(rememberedHash(kind, id))
	_, err := s.write(ctx, func(now time.Time, w *localWrite) error {
		until := now.Add(ttl)
		if before := s.remembered[hash]; before.After(until) {
			return nil
		}
		w.rows = append(w.rows, rowOf(kindRemembered, hex.EncodeToString(hash[:]), until))
		w.apply = append(w.apply, func() { s.remembered[hash] = until })
		return nil
	})

	return err
}

// Remembers implements Sessions.
func (s *LocalStore[T]) Remembers(ctx context.Context, kind, id string) (bool, error) {
	if err := checkRemembered(kind, id); err != nil {
		return false, err
	}
	if err := s.open(ctx); err != nil {
		return false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now().Before(s.remembered[digest(rememberedHash(kind, id))]), nil
}
