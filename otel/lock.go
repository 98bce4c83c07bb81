package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcoherence/pgcoherence/lock"
)

// Locker is a *lock.Locker with spans. All other methods are those of the locker.
type Locker struct {
	*lock.Locker
	tracer *Tracer
}

// Locker wraps a locker.
func (t *Tracer) Locker(l *lock.Locker) *Locker { return &Locker{l, t} }

// Acquire is lock.Locker.Acquire in a span. Its duration is the wait.
func (l *Locker) Acquire(ctx context.Context, key string) (lease *lock.Lease, err error) {
	err = l.tracer.during(ctx, "lock acquire", trace.SpanKindClient, nil, func(ctx context.Context, span trace.Span) error {
		lease, err = l.Locker.Acquire(ctx, key)
		token(span, lease)
		return err
	})
	return lease, err
}

// TryAcquire is lock.Locker.TryAcquire in a span. A lease that another process has is not an error of the span.
func (l *Locker) TryAcquire(ctx context.Context, key string) (*lock.Lease, error) {
	ctx, span := l.tracer.tracer.Start(ctx, "pgcoherence lock try", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	lease, err := l.Locker.TryAcquire(ctx, key)
	held := errors.Is(err, lock.ErrHeld)
	span.SetAttributes(attribute.Bool("pgcoherence.lock.held", held))
	token(span, lease)
	if !held {
		note(span, err)
	}
	return lease, err
}

// Do is lock.Locker.Do in a span, with a child span for the time in which the lease is held.
func (l *Locker) Do(ctx context.Context, key string, fn func(ctx context.Context, lease *lock.Lease) error) error {
	return l.tracer.during(ctx, "lock do", trace.SpanKindInternal, nil, func(ctx context.Context, _ trace.Span) error {
		return l.Locker.Do(ctx, key, func(ctx context.Context, lease *lock.Lease) error {
			return l.tracer.during(ctx, "lock held", trace.SpanKindInternal, nil, func(ctx context.Context, span trace.Span) error {
				token(span, lease)
				return fn(ctx, lease)
			})
		})
	})
}

// token notes the fencing token, by which what was done under a lease can be found again.
func token(span trace.Span, lease *lock.Lease) {
	if lease != nil {
		span.SetAttributes(attribute.Int64("pgcoherence.lock.token", lease.Token()))
	}
}
