package lock

import (
	"slices"
	"sync"
	"time"
)

// gather sends what comes at the same time together: while as many statements as may be are under way, what comes meanwhile
// waits and goes with the next one, as commits gather while the log is being flushed. That spares the server and this process
// most of the work where many leases come and go. One that is alone waits for nothing.
type gather[T comparable] struct {
	senders int             // statements at once
	batch   int             // the most in a statement
	send    func(batch []T) // sends a statement, on behalf of callers that may have given up waiting for it

	mu      sync.Mutex
	sending int
	waiting []T
}

// stuck is after how long others do not wait for a statement any more.
const stuck = 20 * time.Millisecond

// enter reports whether one may be sent by its caller now, who calls leave afterwards; else it waits with the others.
func (g *gather[T]) enter(one T) (now bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sending < g.senders {
		g.sending++
		return true
	}
	g.waiting = append(g.waiting, one)
	return false
}

// leave ends the part of a caller that was sending; if others have gathered meanwhile, a goroutine sends for them.
func (g *gather[T]) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		go g.sendWaiting() // it ends when nothing waits
		return
	}
	g.sending--
}

// overtake sends what waits beside the statements that are under way.
func (g *gather[T]) overtake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		g.sending++
		go g.sendWaiting()
	}
}

// withdraw takes one back that has not been sent, and reports whether it was so.
func (g *gather[T]) withdraw(one T) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, one)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(slices.Clone(g.waiting), i, i+1) // batches share the array
	return true
}

// sendWaiting sends all that waits.
func (g *gather[T]) sendWaiting() {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), g.batch)
		batch := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		if n == 0 {
			g.sending--
		}

		g.mu.Unlock()

		if n == 0 {
			return
		}

		g.send(batch)
	}
}
