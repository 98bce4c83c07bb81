package otel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation.
const scope = "github.com/pgcoherence/pgcoherence/otel"

// Tracer creates the spans. Its methods are safe for concurrent use.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer on a provider.
func New(provider trace.TracerProvider) *Tracer { return &Tracer{provider.Tracer(scope)} }

// during runs f in a span.
func (t *Tracer) during(
	ctx context.Context, name string, kind trace.SpanKind, attributes []attribute.KeyValue, f func(context.Context, trace.Span) error,
) error {
	ctx, span := t.tracer.Start(ctx, "pgcoherence "+name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	defer span.End()
	err := f(ctx, span)
	note(span, err)
	return err
}

// note says how a call ended, without the error's text.
func note(span trace.Span, err error) {
	if err == nil {
		return
	}
	for innermost := errors.Unwrap(err); innermost != nil; innermost = errors.Unwrap(innermost) {
		err = innermost
	}
	span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
	if errors.Is(err, context.Canceled) {
		span.SetAttributes(attribute.Bool("pgcoherence.canceled", true))
		return // the caller went away: no error of ours
	}
	span.SetStatus(codes.Error, "")
}
