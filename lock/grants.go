package lock

import (
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Topic is the topic of this package's events on the bus. Their keys are ids of grants, and hashes of lease keys.
const Topic = "pgcoherence.lock"

const lookPrefix = "k:"

// grants is the subscriber. It is called under the bus' lock, so it does no more than to note things and to wake others.
type grants struct{ c *core }

var _ hook.Hinted = grants{}

// Synchronous implements hook.Synchronous: no queue and no goroutine between the bus and a waiter.
func (grants) Synchronous(hook.Token) {}

// Hint implements hook.Hinted: the id of a grant, from the statement that handed it over.
func (g grants) Hint(_ hook.Token, id string) { g.c.wake(id) }

// Invalidate implements bus.Subscriber.
func (g grants) Invalidate(d bus.Delivery) {
	if d.All {
		g.c.lookEverywhere()
		return
	}
	for _, key := range d.Keys {
		if hash, ok := strings.CutPrefix(key, lookPrefix); ok {
			g.c.look(hash)
		} else {
			g.c.wake(key)
		}
	}
}

// Reset implements bus.Subscriber: any hand-over may have been missed.
func (g grants) Reset(bus.Reason) { g.c.lookEverywhere() }

// wake wakes a waiter of this process, if it is one.
func (c *core) wake(id string) bool {
	c.mu.Lock()
	w := c.waiters[id]
	c.mu.Unlock()
	if w == nil {
		return false
	}
	w.poke()
	return true
}

// look has the leases of a key renewed at once, which shows whether they are still ours, and wakes those who watch it.
func (c *core) look(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.leases) > 0 && len(c.changed) < maxChanged {
		c.changed = append(c.changed, hash)
		c.wakeLoop()
	}
	c.wakeWatchers(c.watchers[hash])
}

// maxChanged bounds what one beat looks at before its time; the rest is looked at in its time.
const maxChanged = 1000

// lookEverywhere touches all waiters at once and wakes all who watch.
func (c *core) lookEverywhere() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touchAt = time.Time{}
	for _, watchers := range c.watchers {
		c.wakeWatchers(watchers)
	}
	c.wakeLoop()
}

func (c *core) wakeWatchers(watchers map[chan struct{}]struct{}) {
	for ch := range watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
