// Package otel makes OpenTelemetry spans of what this module does, by wrapping its public types. It is a module of its own,
// so that nobody depends on OpenTelemetry who does not want to. Import it under a name of its own:
//
//	import pgotel "github.com/pgcoherence/pgcoherence/otel"
//
//	tracer := pgotel.New(provider)
//	b := tracer.Bus(busOfMine)                                   // Publish, Confirm, InTx
//	users, err := cache.New(b, "users", pgotel.Loader(tracer, "users", load), nil) // loads
//	sessions := pgotel.Sessions(tracer, store)                   // Get, Create, Update, Rotate, Revoke…
//	locks := tracer.Locker(locker)                               // Acquire, TryAcquire, Do
//
// Caches, stores and lockers may be made with the bus or with its wrapper, which can do all that the bus can. With the
// wrapper what they publish by themselves is a span, too.
//
// # Limits
//
// Spans hold topics and numbers, the type of an error, and how a call ended. They hold no keys, tokens, users, names of
// locks, nor texts of errors, which quote such things. A cache hit makes no span: it takes less time than the span would.
package otel
