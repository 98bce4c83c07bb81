package sessionstore

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// EventKind says what happened to a session.
type EventKind string

// The kinds of events.
const (
	EventCreated  EventKind = "created"   // a session of a user, or an anonymous one
	EventLoggedIn EventKind = "logged_in" // the user of a session logged in, for the first time or again
	EventRotated  EventKind = "rotated"   // a new token
	EventRevoked  EventKind = "revoked"   // ended before its time, see Reason
	EventChanged  EventKind = "changed"   // its policy or its device
	// EventReused means that a client sent a token that was replaced and whose grace is over. The client should have
	// the new one, so another client may have the old one: many applications end the session then. It is reported
	// once for each time that a pod reads the row.
	EventReused EventKind = "reused"
)

// Event is the argument of Config.OnEvent. It contains nothing that opens a session.
type Event struct {
	Kind   EventKind
	At     time.Time // by this machine's clock
	ID     uuid.UUID // of the session; zero if all of a user's sessions, or all sessions, were ended at once
	User   string    // empty for an anonymous session, and for all users
	Reason Reason    // of EventRevoked
	Actor  string    // of WithActor; may be empty
	// Address is that of WithAddress; it may be empty.
	Address string
	// Tentative says that it happened in a transaction of the caller, which may still roll back.
	Tentative bool
}

type contextKey int

const (
	actorKey contextKey = iota
	addressKey
)

// Bounds of what is stored of an actor and an address; longer text is cut.
const (
	maxActor   = 200
	maxAddress = 100
)

// WithActor returns a context that says who acts, such as "admin:7". Events and exports then say who ended a session.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey, cut(actor, maxActor))
}

// WithAddress returns a context with the address that a request comes from, such as an IP address, for
// Info.LastAddress and for events.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey, cut(address, maxAddress))
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey).(string)
	return actor
}

func addressOf(ctx context.Context) string {
	address, _ := ctx.Value(addressKey).(string)
	return address
}

// emit reports events. Its function is the application's, so nothing of ours depends on how it ends.
func (s *Store[T]) emit(ctx context.Context, events []Event, tentative bool) {
	if s.cfg.OnEvent == nil {
		return
	}
	for _, e := range events {
		e.At, e.Actor, e.Address, e.Tentative = time.Now(), actorOf(ctx), addressOf(ctx), tentative
		func() {
			defer func() {
				if v := recover(); v != nil {
					s.log.ErrorContext(ctx, "OnEvent panicked", slog.String("kind", string(e.Kind)), slog.String("panic", fmt.Sprint(v)))
				}
			}()
			s.cfg.OnEvent(ctx, e)
		}()
	}
}
