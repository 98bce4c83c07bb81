package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Store is a *sessionstore.Store with spans. All other methods are those of the store.
type Store[T any] struct {
	*sessionstore.Store[T]
	tracer *Tracer
}

// Sessions wraps a session store.
func Sessions[T any](t *Tracer, s *sessionstore.Store[T]) *Store[T] { return &Store[T]{s, t} }

// gone are results for a token that are no errors of the store.
var gone = []error{
	sessionstore.ErrNotFound, sessionstore.ErrExpired, sessionstore.ErrRevoked, sessionstore.ErrRotated, sessionstore.ErrMalformed,
}

// Get is sessionstore.Store.Get in a span. A token that is invalid, or no longer valid, is not an error of the span.
func (s *Store[T]) Get(ctx context.Context, token string) (*sessionstore.Session[T], error) {
	ctx, span := s.tracer.tracer.Start(ctx, "pgcoherence session get", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	got, err := s.Store.Get(ctx, token)
	for _, answer := range gone {
		if errors.Is(err, answer) {
			span.SetAttributes(attribute.Bool("pgcoherence.session.gone", true))
			return got, err
		}
	}
	note(span, err)
	return got, err
}

// Create is sessionstore.Store.Create in a span.
func (s *Store[T]) Create(
	ctx context.Context, login sessionstore.Login, data T, o *sessionstore.CreateOptions,
) (token string, session *sessionstore.Session[T], err error) {
	err = s.during(ctx, "create", func(ctx context.Context) error {
		token, session, err = s.Store.Create(ctx, login, data, o)
		return err
	})
	return token, session, err
}

// Update is sessionstore.Store.Update in a span.
func (s *Store[T]) Update(ctx context.Context, token string, fn func(data *T) error) (session *sessionstore.Session[T], err error) {
	err = s.during(ctx, "update", func(ctx context.Context) error {
		session, err = s.Store.Update(ctx, token, fn)
		return err
	})
	return session, err
}

// Rotate is sessionstore.Store.Rotate in a span.
func (s *Store[T]) Rotate(
	ctx context.Context, token string, o *sessionstore.RotateOptions,
) (newToken string, session *sessionstore.Session[T], err error) {
	err = s.during(ctx, "rotate", func(ctx context.Context) error {
		newToken, session, err = s.Store.Rotate(ctx, token, o)
		return err
	})
	return newToken, session, err
}

// Save is sessionstore.Store.Save in a span.
func (s *Store[T]) Save(ctx context.Context, token string, got *sessionstore.Session[T]) error {
	return s.during(ctx, "save", func(ctx context.Context) error { return s.Store.Save(ctx, token, got) })
}

// Revoke is sessionstore.Store.Revoke in a span.
func (s *Store[T]) Revoke(ctx context.Context, token string) (bus.Receipt, error) {
	return s.receipt(ctx, "revoke", func(ctx context.Context) (bus.Receipt, error) { return s.Store.Revoke(ctx, token) })
}

// RevokeUser is sessionstore.Store.RevokeUser in a span.
func (s *Store[T]) RevokeUser(ctx context.Context, user string) (bus.Receipt, error) {
	return s.receipt(ctx, "revoke user", func(ctx context.Context) (bus.Receipt, error) { return s.Store.RevokeUser(ctx, user) })
}

// RevokeUserExcept is sessionstore.Store.RevokeUserExcept in a span.
func (s *Store[T]) RevokeUserExcept(ctx context.Context, token string) (bus.Receipt, error) {
	return s.receipt(ctx, "revoke others", func(ctx context.Context) (bus.Receipt, error) { return s.Store.RevokeUserExcept(ctx, token) })
}

func (s *Store[T]) receipt(ctx context.Context, name string, f func(context.Context) (bus.Receipt, error)) (r bus.Receipt, err error) {
	err = s.during(ctx, name, func(ctx context.Context) error {
		r, err = f(ctx)
		return err
	})
	return r, err
}

func (s *Store[T]) during(ctx context.Context, name string, f func(context.Context) error) error {
	return s.tracer.during(ctx, "session "+name, trace.SpanKindClient, nil, func(ctx context.Context, _ trace.Span) error { return f(ctx) })
}
