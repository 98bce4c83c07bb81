package sessionstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Sessions is what applications and package httpsession need of a store. [Store] and [LocalStore] implement it, so an
// application for which Postgres is optional is written once. See Store for the methods; one test suite runs on both.
// Only Store has the …Tx methods, which join a transaction of the caller.
type Sessions[T any] interface {
	BeginLogin(ctx context.Context, user string) (Login, error)
	Create(ctx context.Context, login Login, data T, o *CreateOptions) (token string, got *Session[T], err error)
	CreateAnonymous(ctx context.Context, data T, o *CreateOptions) (token string, got *Session[T], err error)

	Get(ctx context.Context, token string) (*Session[T], error)
	GetFresh(ctx context.Context, token string) (*Session[T], error)
	GetAfter(ctx context.Context, token string, version int64) (*Session[T], error)
	Look(ctx context.Context, token string) (*Session[T], error)
	Touch(ctx context.Context, token string) error
	List(ctx context.Context, user string) ([]Info, error)
	Count(ctx context.Context, user string) (int, error)

	Save(ctx context.Context, token string, got *Session[T]) error
	Update(ctx context.Context, token string, fn func(data *T) error) (*Session[T], error)
	Rotate(ctx context.Context, token string, o *RotateOptions) (newToken string, got *Session[T], err error)
	SetPolicy(ctx context.Context, token string, policy Policy) (bus.Receipt, error)
	RenameDevice(ctx context.Context, user string, id uuid.UUID, label string) (bus.Receipt, error)

	Revoke(ctx context.Context, token string) (bus.Receipt, error)
	RevokeByID(ctx context.Context, user string, id uuid.UUID) (bus.Receipt, error)
	RevokeUser(ctx context.Context, user string) (bus.Receipt, error)
	RevokeUserExcept(ctx context.Context, token string) (bus.Receipt, error)
	RevokeBySID(ctx context.Context, issuer, sid string) (bus.Receipt, error)
	RevokeAll(ctx context.Context) (bus.Receipt, error)
	ForgetUser(ctx context.Context, user string) (bus.Receipt, error)

	PutOneTime(ctx context.Context, kind string, data []byte, o *OneTimeOptions) (value string, err error)
	TakeOneTime(ctx context.Context, kind, value, binding string) ([]byte, error)
	Remember(ctx context.Context, kind, id string, ttl time.Duration) error
	Remembers(ctx context.Context, kind, id string) (bool, error)

	Bind(ctx context.Context, got *Session[T]) (context.Context, context.CancelFunc)
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	Close() error
}

var (
	_ Sessions[struct{}] = (*Store[struct{}])(nil)
	_ Sessions[struct{}] = (*LocalStore[struct{}])(nil)
)
