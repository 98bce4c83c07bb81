package sessionstore

import (
	"context"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// stream is one context of Bind.
type stream struct {
	id, tag string
	cancel  context.CancelCauseFunc

	// Under the lock of streams.
	doubt bool      // it is to be looked at
	ends  time.Time // by itself, if nothing is heard; zero: not looked at yet
	known time.Time // as of when it was known to be valid
}

// streams are all of a pod. The bus notes on its own goroutine which to check, and Run checks them.
type streams struct {
	now  func() time.Time
	wake chan struct{}

	mu     sync.Mutex
	opened bool
	byID   map[string]map[*stream]struct{}
	byTag  map[string]map[*stream]struct{}
}

func (m *streams) init(now func() time.Time) {
	m.now, m.wake = now, make(chan struct{}, 1)
	m.byID, m.byTag = map[string]map[*stream]struct{}{}, map[string]map[*stream]struct{}{}
}

func (m *streams) open() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = true
}

func (m *streams) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// add begins in doubt: the session may have been ended between its Get and now.
func (m *streams) add(b *stream) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.opened {
		return ErrNotRunning
	}
	b.doubt, b.known = true, m.now()
	put(m.byID, b.id, b)
	put(m.byTag, b.tag, b)
	m.poke()
	return nil
}

func (m *streams) remove(b *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	drop(m.byID, b.id, b)
	drop(m.byTag, b.tag, b)
}

func put(index map[string]map[*stream]struct{}, name string, b *stream) {
	if name == "" {
		return
	}
	if index[name] == nil {
		index[name] = map[*stream]struct{}{}
	}
	index[name][b] = struct{}{}
}

func drop(index map[string]map[*stream]struct{}, name string, b *stream) {
	delete(index[name], b)
	if len(index[name]) == 0 {
		delete(index, name)
	}
}

// Synchronous implements hook.Synchronous: the bus calls Invalidate and Reset directly. They only set marks.
func (m *streams) Synchronous(hook.Token) {}

// Invalidate implements bus.Subscriber.
func (m *streams) Invalidate(d bus.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.All {
		m.doubtAll()
		return
	}

	for _, k := range d.Keys {
		if k == "" {
			continue
		}
		index := m.byID
		if k[0] == 'u' {
			index = m.byTag
		}
		for b := range index[k[1:]] {
			b.doubt = true
			m.poke()
		}
	}
}

// Reset implements bus.Subscriber.
func (m *streams) Reset(bus.Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubtAll()
}

func (m *streams) doubtAll() {
	for _, all := range m.byID {
		for b := range all {
			b.doubt = true
		}
	}
	if len(m.byID) > 0 {
		m.poke()
	}
}

// doubtful are the ids to look at: those in doubt, those whose time is over, and all while the bus is not fresh.
func (m *streams) doubtful(all bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var ids []string
	for id, same := range m.byID {
		for b := range same {
			if all || b.doubt || !b.ends.IsZero() && !now.Before(b.ends) {
				b.doubt = false // before the database is asked: what comes while it is counts again
				ids = append(ids, id)
				break
			}
		}
	}

	for _, id := range ids {
		for b := range m.byID[id] {
			b.doubt = false
		}
	}

	return ids
}

// standing is the state of a session as the database has it.
type standing struct {
	tag  string
	err  error         // nil: valid
	left time.Duration // of a valid one
}

// settle ends what is over and notes the rest, as of the moment before the database was asked.
func (m *streams) settle(ids []string, found map[string]standing, asked time.Time) {
	type ending struct {
		b   *stream
		err error
	}

	var over []ending
	m.mu.Lock()
	for _, id := range ids {
		at, ok := found[id]
		if !ok {
			at.err = ErrNotFound
		}
		for b := range m.byID[id] {
			if at.err != nil {
				over = append(over, ending{b, at.err})
				continue
			}
			b.known, b.ends = asked, asked.Add(at.left)
			if b.tag != at.tag {
				drop(m.byTag, b.tag, b)
				b.tag = at.tag
				put(m.byTag, b.tag, b)
			}
		}
	}

	m.mu.Unlock()
	for _, e := range over { // without the lock: it calls the caller's functions
		e.b.cancel(e.err)
	}
}

// keepDoubt puts back what the database could not be asked about.
func (m *streams) keepDoubt(ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		for b := range m.byID[id] {
			b.doubt = true
		}
	}
}

// endUnknown ends the streams whose sessions were last known to be valid longer ago than the grace.
func (m *streams) endUnknown(grace time.Duration) {
	var over []*stream
	m.mu.Lock()

	now := m.now()
	for _, same := range m.byID {
		for b := range same {
			if since(b.known, now) >= grace {
				over = append(over, b)
			}
		}
	}

	m.mu.Unlock()

	for _, b := range over {
		b.cancel(ErrUnavailable)
	}
}

// fresh notes that the bus has proven that nothing was missed up to now.
func (m *streams) fresh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, same := range m.byID {
		for b := range same {
			if !b.doubt {
				b.known = now
			}
		}
	}
}

// close ends all.
func (m *streams) close() {
	var all []*stream
	m.mu.Lock()
	m.opened = false
	for _, same := range m.byID {
		for b := range same {
			all = append(all, b)
		}
	}
	m.mu.Unlock()
	for _, b := range all {
		b.cancel(ErrClosed)
	}
}

func (m *streams) size() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, same := range m.byID {
		n += len(same)
	}
	return n
}
