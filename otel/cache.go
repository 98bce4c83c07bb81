package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcoherence/pgcoherence/cache"
)

// Loader wraps the loader of a cache: each load is a span. A cache.BatchLoader remains one.
func Loader[K comparable, V any](t *Tracer, topic string, l cache.Loader[K, V]) cache.Loader[K, V] {
	wrapped := loader[K, V]{tracer: t, topic: topic, inner: l}
	if many, ok := l.(cache.BatchLoader[K, V]); ok {
		return batchLoader[K, V]{wrapped, many}
	}
	return wrapped
}

type loader[K comparable, V any] struct {
	tracer *Tracer
	topic  string
	inner  cache.Loader[K, V]
}

// Load implements cache.Loader.
func (l loader[K, V]) Load(ctx context.Context, key K) (v cache.Loaded[V], err error) {
	ctx, span := l.tracer.tracer.Start(ctx, "pgcoherence load", trace.WithAttributes(attribute.String("pgcoherence.topic", l.topic)))
	defer span.End()
	v, err = l.inner.Load(ctx, key)
	if errors.Is(err, cache.ErrNotFound) {
		span.SetAttributes(attribute.Bool("pgcoherence.not_found", true)) // an answer like any other
		return v, err
	}
	note(span, err)
	return v, err
}

type batchLoader[K comparable, V any] struct {
	loader[K, V]
	many cache.BatchLoader[K, V]
}

// LoadMany implements cache.BatchLoader.
func (l batchLoader[K, V]) LoadMany(ctx context.Context, keys []K) (found map[K]cache.Loaded[V], err error) {
	attributes := []attribute.KeyValue{attribute.String("pgcoherence.topic", l.topic), attribute.Int("pgcoherence.keys", len(keys))}
	err = l.tracer.during(ctx, "load many", trace.SpanKindInternal, attributes, func(ctx context.Context, span trace.Span) error {
		found, err = l.many.LoadMany(ctx, keys)
		span.SetAttributes(attribute.Int("pgcoherence.found", len(found)))
		return err
	})
	return found, err
}
