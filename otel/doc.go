// Package otel creates OpenTelemetry spans by wrapping this module's public types. It is a module of its own, so that
// only its users depend on OpenTelemetry. Import it under another name:
//
//	import pgotel "github.com/pgcoherence/pgcoherence/otel"
//
//	tracer := pgotel.New(provider)
//	b := tracer.Bus(postgresBus)                                 // Publish, Confirm, InTx
//	users, err := cache.New(b, "users", pgotel.Loader(tracer, "users", load), nil) // loads
//	sessions := pgotel.Sessions(tracer, store)                   // Get, Create, Update, Rotate, Revoke…
//	locks := tracer.Locker(locker)                               // Acquire, TryAcquire, Do, their shared and many forms, Semaphore
//
// Caches, stores and lockers may be made with the bus or with its wrapper, which supports everything that the bus
// does. With the wrapper their own calls of Publish are spans, too.
//
// # Limits
//
// Spans contain topics and numbers, the type of an error, and the result of a call. They contain no keys, tokens,
// users, names of locks, or texts of errors, which quote such values. A cache hit has no span, because the span would
// take longer than the hit.
package otel
