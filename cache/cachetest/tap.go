package cachetest

import (
	"context"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

var noContext = context.Background()

// tap takes a topic's events from the log to the pods, on the publisher's goroutine.
type tap struct{ cluster *Cluster }

// Synchronous implements hook.Synchronous.
func (tap) Synchronous(hook.Token) {}

// Invalidate implements bus.Subscriber. The cluster's lock is held.
func (t tap) Invalidate(d bus.Delivery) {
	for _, p := range t.cluster.pods {
		d.Local = p == t.cluster.publisher
		p.receive(d)
	}
}

// Reset implements bus.Subscriber: the log never resets by itself.
func (tap) Reset(bus.Reason) {}
