package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Bus is a *bus.Postgres with spans. All other methods are those of the bus.
type Bus struct {
	*bus.Postgres
	tracer *Tracer
}

// Bus wraps a bus.
func (t *Tracer) Bus(b *bus.Postgres) *Bus { return &Bus{b, t} }

// Publish is bus.Postgres.Publish in a span.
func (b *Bus) Publish(ctx context.Context, events ...bus.Event) (r bus.Receipt, err error) {
	err = b.tracer.during(ctx, "publish", trace.SpanKindProducer, describe(events), func(ctx context.Context, _ trace.Span) error {
		r, err = b.Postgres.Publish(ctx, events...)
		return err
	})
	return r, err
}

// Confirm is bus.Postgres.Confirm in a span. Its duration is the time until no pod serves the invalidated values.
func (b *Bus) Confirm(ctx context.Context, r bus.Receipt) error {
	return b.tracer.during(ctx, "confirm", trace.SpanKindClient, nil, func(ctx context.Context, _ trace.Span) error {
		return b.Postgres.Confirm(ctx, r)
	})
}

// InTx is bus.Postgres.InTx in a span. Spans that fn starts with the caller's context are siblings of it.
func (b *Bus) InTx(ctx context.Context, fn func(*bus.Tx) error) (r bus.Receipt, err error) {
	err = b.tracer.during(ctx, "transaction", trace.SpanKindClient, nil, func(ctx context.Context, span trace.Span) error {
		r, err = b.Postgres.InTx(ctx, fn)
		span.SetAttributes(attribute.Bool("pgcoherence.invalidates", !r.IsZero()))
		return err
	})
	return r, err
}

// describe returns topics and numbers of keys, never keys.
func describe(events []bus.Event) []attribute.KeyValue {
	topics := make([]string, 0, len(events))
	keys, whole := 0, 0
	for _, e := range events {
		topics = append(topics, e.Topic)
		if e.All {
			whole++
		} else {
			keys += len(e.Keys)
		}
	}

	return []attribute.KeyValue{
		attribute.StringSlice("pgcoherence.topics", topics), attribute.Int("pgcoherence.keys", keys),
		attribute.Int("pgcoherence.whole_topics", whole),
	}
}
