package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"
)

// cell is what is known of one key, on a cache line of its own: versions, which only grow. A reader loads all three before
// it reads, so whatever they say was so when the read was sent, and no clock has to be read.
type cell struct {
	newest    atomic.Int64 // known to be committed
	due       atomic.Int64 // known to be committed for longer than the bound: nothing older may be served
	confirmed atomic.Int64 // confirmed: nothing older may be served
	_         [40]byte
}

// slot is what one pod has counted.
type slot struct {
	reads, within, beyond, falseConfirms, failed atomic.Int64
	_                                            [24]byte
}

// finding is one read that must not have been.
type finding struct{ pod, key, version, newest, due, confirmed atomic.Int64 }

const (
	boardSlots    = 256 // pods of a round, with those that took the place of others
	boardFindings = 64
)

// board is memory that the pods share with their parent. What the parent knows to be committed is there for a reader at
// the price of a load, and what a pod has counted outlives its SIGKILL.
type board struct {
	path     string
	mapping  []byte
	cells    []cell
	slots    []slot
	found    *atomic.Int64 // findings so far; the first boardFindings are kept
	findings []finding
}

func boardSize(keys int) int {
	return keys*int(unsafe.Sizeof(cell{})) + boardSlots*int(unsafe.Sizeof(slot{})) +
		boardFindings*int(unsafe.Sizeof(finding{})) + int(unsafe.Sizeof(atomic.Int64{}))
}

// newBoard makes a board for so many keys, in a file that the pods open.
func newBoard(keys int) (*board, error) {
	f, err := os.CreateTemp("", "pgcoherence-board-")
	if err != nil {
		return nil, err
	}

	path := f.Name()
	err = f.Truncate(int64(boardSize(keys)))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}

	if err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("board: %w", err)
	}

	b, err := openBoard(path, keys)
	if err != nil {
		_ = os.Remove(path)
	}

	return b, err
}

// openBoard opens the board that the parent has made.
func openBoard(path string, keys int) (*board, error) {
	mapping, err := mapFile(path, boardSize(keys))
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}

	b := &board{path: path, mapping: mapping}
	at := unsafe.Pointer(&mapping[0]) // a page begins there: everything is aligned
	b.cells = unsafe.Slice((*cell)(at), keys)
	at = unsafe.Add(at, keys*int(unsafe.Sizeof(cell{})))
	b.slots = unsafe.Slice((*slot)(at), boardSlots)
	at = unsafe.Add(at, boardSlots*int(unsafe.Sizeof(slot{})))
	b.findings = unsafe.Slice((*finding)(at), boardFindings)
	at = unsafe.Add(at, boardFindings*int(unsafe.Sizeof(finding{})))
	b.found = (*atomic.Int64)(at)
	return b, nil
}

// remove takes the file away. The memory stays mapped while the process lives: a reader may still be at it.
func (b *board) remove() error { return os.Remove(b.path) }

// violation notes a read that must not have been.
func (b *board) violation(pod, key int, version, newest, due, confirmed int64) {
	i := b.found.Add(1) - 1
	if i >= boardFindings {
		return
	}
	f := &b.findings[i]
	f.pod.Store(int64(pod))
	f.key.Store(int64(key))
	f.version.Store(version)
	f.newest.Store(newest)
	f.due.Store(due)
	f.confirmed.Store(confirmed)
}

// boardTally is what all pods have counted.
type boardTally struct {
	Reads         int64 `json:"reads"`
	Within        int64 `json:"stale_within_bound"`
	Beyond        int64 `json:"stale_beyond_bound"`
	FalseConfirms int64 `json:"false_confirms"`
	Failed        int64 `json:"reads_failed"`
}

func (t *boardTally) add(u boardTally) {
	t.Reads += u.Reads
	t.Within += u.Within
	t.Beyond += u.Beyond
	t.FalseConfirms += u.FalseConfirms
	t.Failed += u.Failed
}

func (b *board) tally() (sum boardTally) {
	for i := range b.slots {
		s := &b.slots[i]
		sum.add(boardTally{s.reads.Load(), s.within.Load(), s.beyond.Load(), s.falseConfirms.Load(), s.failed.Load()})
	}
	return sum
}

// proofs are the first violations, for people.
func (b *board) proofs() []string {
	var all []string
	for i := range min(b.found.Load(), maxProofs) {
		f := &b.findings[i]
		what := "superseded for longer than the bound"
		if f.version.Load() < f.confirmed.Load() {
			what = "older than one that was confirmed"
		}
		all = append(all, fmt.Sprintf("pod-%d served version %d of key %d from its cache, %s: %d is newest, %d due, %d confirmed",
			f.pod.Load(), f.version.Load(), f.key.Load(), what, f.newest.Load(), f.due.Load(), f.confirmed.Load()))
	}
	return all
}
