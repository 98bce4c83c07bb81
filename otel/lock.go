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

// lockMode says how a lease is held, in the attribute pgcoherence.lock.mode.
type lockMode string

const (
	modeExclusive lockMode = "exclusive"
	modeShared    lockMode = "shared"
	modeSemaphore lockMode = "semaphore"
)

func (m lockMode) attribute() attribute.KeyValue {
	return attribute.String("pgcoherence.lock.mode", string(m))
}

// Acquire is lock.Locker.Acquire in a span. Its duration is the wait.
func (l *Locker) Acquire(ctx context.Context, key string) (*lock.Lease, error) {
	return l.tracer.acquire(ctx, modeExclusive, func(ctx context.Context) (*lock.Lease, error) { return l.Locker.Acquire(ctx, key) })
}

// AcquireShared is lock.Locker.AcquireShared in a span. Its duration is the wait.
func (l *Locker) AcquireShared(ctx context.Context, key string) (*lock.Lease, error) {
	return l.tracer.acquire(ctx, modeShared, func(ctx context.Context) (*lock.Lease, error) { return l.Locker.AcquireShared(ctx, key) })
}

// TryAcquire is lock.Locker.TryAcquire in a span. A lease that another process has is not an error of the span.
func (l *Locker) TryAcquire(ctx context.Context, key string) (*lock.Lease, error) {
	return l.tracer.try(ctx, modeExclusive, func(ctx context.Context) (*lock.Lease, error) { return l.Locker.TryAcquire(ctx, key) })
}

// TryAcquireShared is lock.Locker.TryAcquireShared in a span. A lease that another process has is not an error of the span.
func (l *Locker) TryAcquireShared(ctx context.Context, key string) (*lock.Lease, error) {
	return l.tracer.try(ctx, modeShared, func(ctx context.Context) (*lock.Lease, error) { return l.Locker.TryAcquireShared(ctx, key) })
}

// AcquireMany is lock.Locker.AcquireMany in a span. Its duration is the wait for all of them.
func (l *Locker) AcquireMany(ctx context.Context, keys ...string) (leases []*lock.Lease, err error) {
	attributes := []attribute.KeyValue{modeExclusive.attribute(), countOf(keys)}
	err = l.tracer.during(ctx, "lock acquire", trace.SpanKindClient, attributes, func(ctx context.Context, _ trace.Span) error {
		leases, err = l.Locker.AcquireMany(ctx, keys...)
		return err
	})
	return leases, err
}

// TryAcquireMany is lock.Locker.TryAcquireMany in a span. A lease that another process has is not an error of the span.
func (l *Locker) TryAcquireMany(ctx context.Context, keys ...string) (leases []*lock.Lease, err error) {
	_, err = l.tracer.try(ctx, modeExclusive, func(ctx context.Context) (*lock.Lease, error) {
		trace.SpanFromContext(ctx).SetAttributes(countOf(keys))
		leases, err = l.Locker.TryAcquireMany(ctx, keys...)
		return nil, err
	})
	return leases, err
}

func countOf(keys []string) attribute.KeyValue {
	return attribute.Int("pgcoherence.lock.keys", len(keys))
}

// Do is lock.Locker.Do in a span, with a child span for the time in which the lease is held.
func (l *Locker) Do(ctx context.Context, key string, fn func(ctx context.Context, lease *lock.Lease) error) error {
	return l.tracer.do(ctx, modeExclusive, fn, func(ctx context.Context, fn func(context.Context, *lock.Lease) error) error {
		return l.Locker.Do(ctx, key, fn)
	})
}

// DoShared is lock.Locker.DoShared in a span, with a child span for the time in which the lease is held.
func (l *Locker) DoShared(ctx context.Context, key string, fn func(ctx context.Context, lease *lock.Lease) error) error {
	return l.tracer.do(ctx, modeShared, fn, func(ctx context.Context, fn func(context.Context, *lock.Lease) error) error {
		return l.Locker.DoShared(ctx, key, fn)
	})
}

// Semaphore is a *lock.Semaphore with spans. All other methods are those of the semaphore.
type Semaphore struct {
	*lock.Semaphore
	tracer *Tracer
}

// Semaphore is lock.Locker.Semaphore with spans.
func (l *Locker) Semaphore(key string, n int) (*Semaphore, error) {
	s, err := l.Locker.Semaphore(key, n)
	if err != nil {
		return nil, err
	}
	return &Semaphore{s, l.tracer}, nil
}

// Acquire is lock.Semaphore.Acquire in a span. Its duration is the wait.
func (s *Semaphore) Acquire(ctx context.Context) (*lock.Lease, error) {
	return s.tracer.acquire(ctx, modeSemaphore, s.Semaphore.Acquire)
}

// TryAcquire is lock.Semaphore.TryAcquire in a span. That no place is free is not an error of the span.
func (s *Semaphore) TryAcquire(ctx context.Context) (*lock.Lease, error) {
	return s.tracer.try(ctx, modeSemaphore, s.Semaphore.TryAcquire)
}

// Do is lock.Semaphore.Do in a span, with a child span for the time in which the place is held.
func (s *Semaphore) Do(ctx context.Context, fn func(ctx context.Context, lease *lock.Lease) error) error {
	return s.tracer.do(ctx, modeSemaphore, fn, s.Semaphore.Do)
}

func (t *Tracer) acquire(ctx context.Context, mode lockMode, take func(context.Context) (*lock.Lease, error)) (lease *lock.Lease, err error) {
	err = t.during(ctx, "lock acquire", trace.SpanKindClient, []attribute.KeyValue{mode.attribute()}, func(ctx context.Context, span trace.Span) error {
		lease, err = take(ctx)
		noteToken(span, lease)
		return err
	})
	return lease, err
}

func (t *Tracer) try(ctx context.Context, mode lockMode, take func(context.Context) (*lock.Lease, error)) (*lock.Lease, error) {
	ctx, span := t.tracer.Start(ctx, "pgcoherence lock try", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(mode.attribute()))
	defer span.End()

	lease, err := take(ctx)
	held := errors.Is(err, lock.ErrHeld)
	span.SetAttributes(attribute.Bool("pgcoherence.lock.held", held))
	noteToken(span, lease)
	if !held {
		note(span, err)
	}
	return lease, err
}

// do runs fn under a lease that run takes.
func (t *Tracer) do(
	ctx context.Context, mode lockMode, fn func(context.Context, *lock.Lease) error,
	run func(context.Context, func(context.Context, *lock.Lease) error) error,
) error {
	attributes := []attribute.KeyValue{mode.attribute()}
	return t.during(ctx, "lock do", trace.SpanKindInternal, attributes, func(ctx context.Context, _ trace.Span) error {
		return run(ctx, func(ctx context.Context, lease *lock.Lease) error {
			return t.during(ctx, "lock held", trace.SpanKindInternal, attributes, func(ctx context.Context, span trace.Span) error {
				noteToken(span, lease)
				return fn(ctx, lease)
			})
		})
	})
}

// noteToken notes the fencing token, by which what was done under a lease can be found again.
func noteToken(span trace.Span, lease *lock.Lease) {
	if lease != nil {
		span.SetAttributes(attribute.Int64("pgcoherence.lock.token", lease.Token()))
	}
}
