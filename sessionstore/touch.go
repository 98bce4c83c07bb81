package sessionstore

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	touchBatch = 1000
	maxTouches = 100_000 // waiting; while the database is away the oldest knowledge is worth the least
	// inlineTouch is how long a request may take to write a use where Run does not.
	inlineTouch = time.Second
	maxTries    = 3 // for a row that another transaction holds
)

// touches are the uses that wait to be written, the latest of each session.
type touches struct {
	wake chan struct{} // one is due sooner than all before

	mu      sync.Mutex
	waiting map[uuid.UUID]use
	due     time.Time // when the first has to be written
}

type use struct {
	at      time.Time
	address string // empty: not said
	tries   int
}

func (t *touches) init() {
	t.wake, t.waiting = make(chan struct{}, 1), make(map[uuid.UUID]use)
}

// add notes a use and reports whether there was room.
func (t *touches) add(id uuid.UUID, u use, due time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.waiting[id]
	if !known && len(t.waiting) >= maxTouches {
		return false
	}

	u.address = cmp.Or(u.address, before.address)
	t.waiting[id] = u
	if len(t.waiting) == 1 || due.Before(t.due) {
		t.due = due
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}

	return true
}

// take is a batch, in the order of ids; the rest stays due.
func (t *touches) take() map[uuid.UUID]use {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) <= touchBatch {
		batch := t.waiting
		t.waiting = make(map[uuid.UUID]use)
		return batch
	}

	batch := make(map[uuid.UUID]use, touchBatch)
	for id, u := range t.waiting {
		if len(batch) == touchBatch {
			break
		}
		batch[id] = u
		delete(t.waiting, id)
	}

	return batch
}

// putBack keeps what was not written, unless there is a later use or it has had its chances.
func (t *touches) putBack(batch map[uuid.UUID]use, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, u := range batch {
		if _, later := t.waiting[id]; !later && u.tries < maxTries && len(t.waiting) < maxTouches {
			t.waiting[id] = u
		}
	}
	if len(t.waiting) > 0 {
		t.due = due
	}
}

// next is when there is something to write; zero for never.
func (t *touches) next() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return time.Time{}
	}
	return t.due
}

func (t *touches) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

// touchAge is how old the use may get that the database knows of.
func (s *Store[T]) touchAge(idle time.Duration) time.Duration {
	if idle > 0 {
		return min(s.cfg.TouchAge, idle/10)
	}
	return s.cfg.TouchAge
}

// used notes a use of a session, if the last one noted is old enough. It is on the path of every Get.
func (s *Store[T]) used(ctx context.Context, r *row[T], elapsed time.Duration) {
	age := s.touchAge(r.info.Idle)
	noted := r.touched.Load()
	ago := elapsed - time.Duration(noted)
	if noted == 0 {
		ago = elapsed + r.sinceSeen
	}

	if ago < age || !r.touched.CompareAndSwap(noted, max(int64(elapsed), 1)) {
		return
	}
	now := s.cfg.now()
	if !s.touches.add(r.info.ID, use{at: now, address: addressOf(ctx)}, now.Add(min(s.cfg.TouchInterval, age/2))) {
		s.stats.touchesLost.Add(1)
	} else if !s.running.Load() {
		ctx, cancel := context.WithTimeout(ctx, inlineTouch)
		defer cancel()
		s.flush(ctx) // nothing else does
	}
}

// runTouches writes batches when they are due.
func (s *Store[T]) runTouches(ctx context.Context) {
	for ctx.Err() == nil {
		var timer <-chan time.Time
		stop := func() bool { return false }
		if due := s.touches.next(); !due.IsZero() {
			t := time.NewTimer(max(due.Sub(s.cfg.now()), time.Millisecond))
			timer, stop = t.C, t.Stop
		}

		select {
		case <-ctx.Done():
		case <-s.touches.wake:
		case <-timer:
			s.flush(ctx)
		}

		stop()
	}
}

// flushLast writes what is left when Run ends, within a bound.
func (s *Store[T]) flushLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for n := s.touches.size(); n > 0; n -= touchBatch {
		s.flush(ctx)
	}
}

// flush writes one batch. What fails is noted again: it is a use's time that counts and not when it is written.
func (s *Store[T]) flush(ctx context.Context) {
	batch := s.touches.take()
	if len(batch) == 0 {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, s.cfg.LookupTimeout)
	defer cancel()
	written, err := s.writeTouches(ctx, batch)
	again := s.cfg.now().Add(s.cfg.TouchInterval)
	if err != nil {
		s.touches.putBack(batch, again)
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "uses not written", slog.Int("sessions", len(batch)), slog.Any("error", err))
		}
		return
	}

	s.stats.touched.Add(int64(len(written)))
	for _, id := range written {
		delete(batch, id)
	}

	for id, u := range batch { // held by others, or over
		u.tries++
		batch[id] = u
	}

	s.touches.putBack(batch, again)
}

func (s *Store[T]) writeTouches(ctx context.Context, batch map[uuid.UUID]use) (written []uuid.UUID, err error) {
	ids := slices.SortedFunc(maps.Keys(batch), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	names, ages, addresses := make([]string, len(ids)), make([]int64, len(ids)), make([]string, len(ids))
	now := s.cfg.now()
	for i, id := range ids {
		names[i], ages[i], addresses[i] = id.String(), since(batch[id].at, now).Microseconds(), batch[id].address
	}

	rows, err := s.pool.Query(ctx, s.sql.touch, names, ages, addresses)
	if err != nil {
		return nil, explain("touch", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, explain("touch", err)
		}
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, explain("touch", err)
		}
		written = append(written, id)
	}

	return written, explain("touch", rows.Err())
}
