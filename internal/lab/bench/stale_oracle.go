package main

import (
	"fmt"
	"sync"
	"time"
)

// grace is how old a value may be when a read begins: no message is there at
// once, and a machine may be busy. Reads of values that were replaced earlier
// than that are stale.
const grace = 250 * time.Millisecond

// staleRow is what a row's versions are known to be.
type staleRow struct {
	mu       sync.Mutex
	replaced []time.Time // when it was certain that version i is not the newest one any more
	current  int64
	next     int64 // the last version that somebody tried to write
}

// begin is the next version that a writer writes.
func (r *staleRow) begin() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.next
}

// committed notes that the version is there for certain.
func (r *staleRow) committed(version int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for int64(len(r.replaced)) < version { // also of those whose commit nobody knows of
		r.replaced = append(r.replaced, now)
	}
	r.current = max(r.current, version)
}

// age is for how long the version had been replaced when a read began; not
// above zero for a version that was right, or may have been.
func (r *staleRow) age(version int64, begun time.Time) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version > r.next {
		return 0, fmt.Errorf("version %d was read, and the last one written is %d", version, r.next)
	}
	if version >= r.current {
		return 0, nil
	}
	return begun.Sub(r.replaced[version]), nil
}

// staleTally is what the reads of one side under one fault came to.
type staleTally struct {
	mu      sync.Mutex
	checked int
	stale   int
	late    int // stale for longer than the library's StaleAfter
	refused int
	worst   time.Duration
	loads   int64
	changes int
	failed  int // changes that had to be tried again
}

func (t *staleTally) read(age, bound time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checked++
	if age <= grace {
		return
	}
	t.stale++
	t.worst = max(t.worst, age)
	if age > bound {
		t.late++
	}
}

func (t *staleTally) refuse() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
}

func (t *staleTally) changed(failures int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.failed += failures
}

func (t *staleTally) add(other *staleTally) {
	t.checked += other.checked
	t.stale += other.stale
	t.late += other.late
	t.refused += other.refused
	t.loads += other.loads
	t.changes += other.changes
	t.failed += other.failed
	t.worst = max(t.worst, other.worst)
}
