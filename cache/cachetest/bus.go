package cachetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Bus is one pod of a [Cluster]. It implements bus.Bus, and supports everything that caches need of a *bus.Postgres.
//
// It is fresh unless SetFresh or Uncertain says otherwise, even while deliveries wait: in production they wait for
// less than bus.DefaultStaleAfter, or the pod is no longer fresh.
type Bus struct {
	cluster *Cluster

	// Under the cluster's lock.
	topics map[string][]*subscription
	inbox  []parcel
	paused bool
	lag    time.Duration

	at         atomic.Pointer[place]
	staleSince atomic.Pointer[time.Time] // nil: fresh
	unproven   atomic.Pointer[time.Time] // since then; nil: proven all the time
}

// place is how far a pod is, for those who may not wait for a lock.
type place struct {
	epoch   string
	applied position.Snapshot
}

// parcel is a delivery on its way.
type parcel struct {
	delivery bus.Delivery
	due      time.Time
}

var (
	_ bus.Bus   = (*Bus)(nil)
	_ hook.Door = (*Bus)(nil)
)

func newBus(c *Cluster) *Bus { return &Bus{cluster: c, topics: map[string][]*subscription{}} }

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, events ...bus.Event) (receipt bus.Receipt, err error) {
	err = b.cluster.publish(b, func(log *bus.Local) error {
		receipt, err = log.Publish(ctx, events...)
		return err
	})
	return receipt, err
}

// Confirm implements bus.Bus. It waits until every pod has applied the receipt's events or is not fresh.
func (b *Bus) Confirm(ctx context.Context, r bus.Receipt) error {
	for {
		next := b.cluster.nextChange()
		if err := ctx.Err(); err != nil {
			return err
		}

		epoch := b.at.Load().epoch
		if !r.IsZero() && !strings.HasPrefix(r.String(), epoch+":") {
			return fmt.Errorf("%w: it is of another epoch", bus.ErrUnconfirmed)
		}

		if !slices.ContainsFunc(b.cluster.pods, func(p *Bus) bool { return p.Fresh() && !p.Applied(r) }) {
			return nil
		}

		select {
		case <-next:
		case <-ctx.Done():
		}
	}
}

// Subscribe implements bus.Bus.
func (b *Bus) Subscribe(topic string, s bus.Subscriber) (unsubscribe func()) {
	b.cluster.watch(topic)
	one := newSubscription(s)
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.topics[topic] = append(slices.Clip(b.topics[topic]), one)
	return func() {
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		b.topics[topic] = slices.DeleteFunc(slices.Clone(b.topics[topic]), func(other *subscription) bool { return other == one })
		one.leave()
	}
}

// Fresh implements bus.Bus.
func (b *Bus) Fresh() bool { return b.staleSince.Load() == nil }

// State implements bus.Bus. It returns bus.Live or bus.Stale.
func (b *Bus) State() bus.State {
	if b.Fresh() {
		return bus.Live
	}
	return bus.Stale
}

// Applied reports whether this pod has applied the events of a receipt, like that of a *bus.Postgres.
func (b *Bus) Applied(r bus.Receipt) bool {
	if r.IsZero() {
		return true
	}
	at := b.at.Load()
	number, ok := strings.CutPrefix(r.String(), at.epoch+":")
	xid, err := strconv.ParseUint(number, 10, 64)
	return ok && err == nil && at.applied.Sees(xid)
}

// Internal is for this module: other modules cannot name the type of its parameter.
func (b *Bus) Internal(hook.Token) hook.Source { return insider{b} }

// insider is the bus as this module's own caches see it.
type insider struct{ b *Bus }

// FreshAge implements hook.Source.
func (i insider) FreshAge(now elapsed.Instant) time.Duration {
	if since := i.b.staleSince.Load(); since != nil {
		return bus.DefaultStaleAfter + max(now.Since(elapsed.At(*since)), 0)
	}
	return 0
}

// StaleAfter implements hook.Source.
func (i insider) StaleAfter() time.Duration { return bus.DefaultStaleAfter }

// ProvenSince implements hook.Source.
func (i insider) ProvenSince(t time.Time) bool {
	for _, since := range []*time.Time{i.b.staleSince.Load(), i.b.unproven.Load()} {
		if since != nil && !since.After(t) {
			return false
		}
	}
	return len(i.b.at.Load().applied.Xip) == 0
}

// Position implements hook.Source.
func (i insider) Position() (epoch string, applied position.Snapshot, ok bool) {
	at := i.b.at.Load()
	return at.epoch, at.applied, true
}

// Extend implements hook.Source.
func (i insider) Extend(time.Duration) error { return nil }

// place notes how far the pod is. The cluster's lock is held.
func (b *Bus) place() {
	epoch, applied, _ := b.cluster.log.Internal(hook.Token{}).Position()
	for _, waits := range b.inbox {
		applied.Xip = append(applied.Xip, waits.delivery.XIDs...)
	}
	slices.Sort(applied.Xip)
	if applied.Xip = slices.Compact(applied.Xip); len(applied.Xip) > 0 {
		applied.Xmin = applied.Xip[0]
	}
	b.at.Store(&place{epoch: epoch, applied: applied})
}
