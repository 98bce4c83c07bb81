package sessionstore

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// EventKind is what happened to a session.
type EventKind string

// The kinds of events.
const (
	EventCreated  EventKind = "created"   // a session of a user, or of nobody yet
	EventLoggedIn EventKind = "logged_in" // a session that was there became a user's, or its user logged in once more
	EventRotated  EventKind = "rotated"   // a new token
	EventRevoked  EventKind = "revoked"   // ended before its time, see Reason
	EventChanged  EventKind = "changed"   // its policy or its device
	// EventReused: a token came back that was replaced, and whose grace is over. The client has the new one, so somebody
	// else may have the old one: many applications end the session then. It is reported once for each time that a pod
	// reads the row.
	EventReused EventKind = "reused"
)

// Event is what [Config.OnEvent] is called with. It holds nothing that opens a session.
type Event struct {
	Kind   EventKind
	At     time.Time // by this machine's clock
	ID     uuid.UUID // of the session; zero where all of a user's, or all there are, were ended at once
	User   string    // empty: nobody had logged in, or everybody
	Reason Reason    // of EventRevoked
	Actor  string    // of WithActor; empty: not said
	// Address is that of WithAddress; empty: not said.
	Address string
	// Tentative says that it was done in a transaction of the caller's, which may yet roll back.
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

// WithActor says who acts, such as "admin:7": events and audits then say by whom a session was ended.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey, cut(actor, maxActor))
}

// WithAddress says where a request comes from, such as an IP address: uses that are recorded take it along, for
// [Info].LastAddress, and events.
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
