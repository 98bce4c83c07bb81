package main

import (
	"fmt"
	"sync"
	"time"
)

// maxLostShown is how many lost events of a chapter are listed.
const maxLostShown = 5

// tally counts the reads of one chapter. Its methods are safe for concurrent use.
type tally struct {
	title   string
	allowed outage

	mu     sync.Mutex
	counts counts
	fails  []string
}

// outage says which reads may fail in a chapter.
type outage struct {
	pods  bool // those sent to one pod
	front bool // those sent to the round-robin address
}

// counts are the numbers of one chapter, or of all.
type counts struct {
	reads, cached, stale, beyond, impossible int
	noAnswer, noAnswerFront                  int
	lost                                     int
	behind                                   map[string]time.Duration // the longest time behind, per pod
}

func newTally(title string, allowed outage) *tally {
	return &tally{title: title, allowed: allowed, counts: counts{behind: map[string]time.Duration{}}}
}

// count records a read that a pod served, with the oracle's verdict.
func (t *tally) count(pod string, cached bool, v verdict, age time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.counts.reads++

	if cached {
		t.counts.cached++
	}

	switch v {
	case current:
	case stale:
		t.counts.stale++
	case violation:
		t.counts.beyond++
	case impossible:
		t.counts.impossible++
	}

	t.counts.behind[pod] = max(t.counts.behind[pod], age)
}

// behind records how long after a commit a pod first served it.
func (t *tally) behind(pod string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.behind[pod] = max(t.counts.behind[pod], d)
}

// unanswered records a read that failed.
func (t *tally) unanswered(front bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if front {
		t.counts.noAnswerFront++
	} else {
		t.counts.noAnswer++
	}
}

// addLost records an event that a pod has not received although it is in sync.
func (t *tally) addLost(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts.lost < maxLostShown { // the count includes the rest
		t.fails = append(t.fails, "lost: "+what)
	}
	t.counts.lost++
}

// fail records a failed check of the chapter's own.
func (t *tally) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fails = append(t.fails, fmt.Sprintf(format, args...))
}

func (t *tally) snapshot() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// problems returns the checks that failed.
func (t *tally) problems() []string {
	t.mu.Lock()
	defer t.mu.Unlock()

	all := append([]string(nil), t.fails...)
	c := t.counts
	for _, check := range []struct {
		failed bool
		text   string
	}{
		{c.beyond > 0, fmt.Sprintf("%d reads were stale beyond the bound", c.beyond)},
		{c.impossible > 0, fmt.Sprintf("%d reads returned a version that was never written", c.impossible)},
		{c.cached == 0, "no read was served from a cache: nothing was tested"},
		{c.noAnswer > 0 && !t.allowed.pods, fmt.Sprintf("%d reads of a pod failed", c.noAnswer)},
		{c.noAnswerFront > 0 && !t.allowed.front, fmt.Sprintf("%d reads of the round-robin address failed", c.noAnswerFront)},
	} {
		if check.failed {
			all = append(all, check.text)
		}
	}

	return all
}
