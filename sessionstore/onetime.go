package sessionstore

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// DefaultOneTimeTTL is the default of OneTimeOptions.TTL.
const DefaultOneTimeTTL = 10 * time.Minute

// OneTimeOptions are options of PutOneTime. Nil means the defaults.
type OneTimeOptions struct {
	// TTL is how long the value can be taken. Defaults to DefaultOneTimeTTL.
	TTL time.Duration
	// Binding is a secret of the requesting browser, such as the value of a separate cookie: only a request with it
	// can take the value. It prevents an attacker from making a victim finish the attacker's login. Defaults to "":
	// the value alone is enough.
	Binding string
}

// PutOneTime stores data that can be taken once, with the returned value, on any pod: the state of an OAuth login
// with its nonce and PKCE verifier, or a link to reset a password. kind separates values of different use, 1 to 100
// bytes. The value is 256 random bits in base64url. Only its hash is stored, and with Config.Encrypt the data is
// encrypted with it.
func (s *Store[T]) PutOneTime(ctx context.Context, kind string, data []byte, o *OneTimeOptions) (value string, err error) {
	return s.putOneTime(ctx, s.pool, kind, data, o)
}

// PutOneTimeTx is PutOneTime in a transaction of the caller, which may be any.
func (s *Store[T]) PutOneTimeTx(ctx context.Context, tx pgx.Tx, kind string, data []byte, o *OneTimeOptions) (value string, err error) {
	return s.putOneTime(ctx, tx, kind, data, o)
}

// TakeOneTime returns the data of a one-time value. Exactly one caller gets it; all others get ErrNotFound, as for a
// value that never existed. ErrExpired means that its TTL has passed. ErrBinding means that it comes from another
// browser; the value is used up all the same, because the wrong person has it.
func (s *Store[T]) TakeOneTime(ctx context.Context, kind, value, binding string) ([]byte, error) {
	return s.takeOneTime(ctx, s.pool, kind, value, binding)
}

// TakeOneTimeTx is TakeOneTime in a transaction of the caller, which may be any. The value is used up when it
// commits.
func (s *Store[T]) TakeOneTimeTx(ctx context.Context, tx pgx.Tx, kind, value, binding string) ([]byte, error) {
	return s.takeOneTime(ctx, tx, kind, value, binding)
}

func (s *Store[T]) putOneTime(ctx context.Context, db writer, kind string, data []byte, o *OneTimeOptions) (string, error) {
	options, err := s.oneTimeOptions(kind, data, o)
	if err != nil {
		return "", err
	}
	sec := newSecret()
	hash := oneTimeHash(kind, &sec)
	_, err = db.Exec(ctx, s.sql.put, hash[:], bindingHash(options.Binding), s.packOneTime(&sec, data), options.TTL.Microseconds())
	if err != nil {
		return "", explain("put one-time value", err)
	}
	return encoding.EncodeToString(sec[:]), nil
}

// oneTimeOptions checks what PutOneTime was given and fills in the defaults.
func (s *Store[T]) oneTimeOptions(kind string, data []byte, o *OneTimeOptions) (options OneTimeOptions, err error) {
	if o != nil {
		options = *o
	}
	if options.TTL == 0 {
		options.TTL = DefaultOneTimeTTL
	}

	switch {
	case kind == "" || len(kind) > 100:
		err = fmt.Errorf("%w: kind has %d bytes, want 1 to 100", ErrInvalid, len(kind))
	case options.TTL < time.Millisecond || options.TTL > maxAbsolute:
		err = fmt.Errorf("%w: TTL: %v", ErrInvalid, options.TTL)
	case len(data) > s.cfg.MaxData:
		err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), s.cfg.MaxData)
	}

	return options, err
}

// packOneTime encrypts data by its value, if configured.
func (s *Store[T]) packOneTime(sec *secret, data []byte) []byte {
	var k *dataKey
	if s.cfg.Encrypt {
		own := oneTimeKey(sec)
		k = &own
	}
	return pack(k, uuid.Nil, 0, 0, data)
}

func (s *Store[T]) takeOneTime(ctx context.Context, db querier, kind, value, binding string) ([]byte, error) {
	plain := sealer{} // one-time values carry no seal
	sec, _, err := plain.parse(value)
	if err != nil {
		return nil, err
	}
	if db == querier(s.pool) {
		// Invented values take no more of the pool than unknown tokens do.
		ctx, cancel := context.WithTimeout(ctx, s.cfg.LookupTimeout)
		defer cancel()
		if err := s.lookups.enter(ctx); err != nil {
			return nil, explain("take one-time value", err)
		}
		defer s.lookups.leave()
	}

	hash := oneTimeHash(kind, &sec)
	var bound, data []byte
	var inTime bool
	err = db.QueryRow(ctx, s.sql.take, hash[:]).Scan(&bound, &data, &inTime)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, explain("take one-time value", err)
	case !inTime:
		return nil, ErrExpired
	case bound != nil && subtle.ConstantTimeCompare(bound, bindingHash(binding)) != 1:
		return nil, ErrBinding
	}
	_, data, err = unpack(data, uuid.Nil, 0, func() (dataKey, error) { return oneTimeKey(&sec), nil })
	return data, err
}

func oneTimeHash(kind string, sec *secret) [32]byte {
	return sha256.Sum256(append(append([]byte("pgcoherence one-time "+kind), 0), sec[:]...))
}

// oneTimeKey encrypts a single value, so the value itself can be what it is derived from.
func oneTimeKey(sec *secret) dataKey {
	return dataKey(wrappingKey(sec))
}

// bindingHash is nil for none.
func bindingHash(binding string) []byte {
	if binding == "" {
		return nil
	}
	sum := sha256.Sum256([]byte("pgcoherence binding " + binding))
	return sum[:]
}
