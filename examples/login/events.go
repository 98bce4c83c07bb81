package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// eventInterval is how often a stream says something.
const eventInterval = time.Second

// getEvents is a stream of server-sent events. It ends the moment its session does, on whatever pod that is ended.
func (p *pod) getEvents(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel, err := p.sessions.Bind(r)
	if err != nil {
		return err
	}
	defer cancel()

	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	for {
		if err := say(w, out, "time", fmt.Sprintf("pod %s, %s", p.name, time.Now().Format(time.TimeOnly))); err != nil {
			return nil //nolint:nilerr // the browser is gone
		}
		select {
		case <-tick.C:
		case <-p.ended: // the browser comes again, and finds another pod
			return nil
		case <-ctx.Done():
			if r.Context().Err() == nil {
				_ = say(w, out, "over", why(ctx)) // whether it is heard or not, it is over
			}
			return nil
		}
	}
}

// why says why a stream is over: the page shows it, and does not come again.
func why(ctx context.Context) string {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, sessionstore.ErrRevoked):
		return "revoked"
	case errors.Is(cause, sessionstore.ErrExpired):
		return "expired"
	default:
		return "unknown"
	}
}

// say sends one event. What is in it has no line breaks.
func say(w http.ResponseWriter, out *http.ResponseController, event, data string) error {
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data); err != nil {
		return err
	}
	return out.Flush()
}
