package main

import (
	"fmt"
	"sync"
	"time"
)

// maxLostShown is how many lost events of a chapter are told one by one.
const maxLostShown = 5

// tally is the count of one chapter. Its methods are safe for concurrent use.
type tally struct {
	title   string
	allowed outage

	mu     sync.Mutex
	counts counts
	fails  []string
}

// outage says which reads may remain without an answer in a chapter.
type outage struct {
	pods  bool // those sent to one pod
	front bool // those sent to the round-robin address
}

// counts are the numbers of one chapter, or of all.
type counts struct {
	reads, cached, stale, beyond, impossible int
	noAnswer, noAnswerFront                  int
	lost                                     int
	behind                                   map[string]time.Duration // the longest, per pod
}

func newTally(title string, allowed outage) *tally {
	return &tally{title: title, allowed: allowed, counts: counts{behind: map[string]time.Duration{}}}
}

// count notes a read that was answered, by a pod, and judged.
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

// behind notes how long after a commit a pod first served it.
func (t *tally) behind(pod string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.behind[pod] = max(t.counts.behind[pod], d)
}

// unanswered notes a read that failed.
func (t *tally) unanswered(front bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if front {
		t.counts.noAnswerFront++
	} else {
		t.counts.noAnswer++
	}
}

// addLost notes an event of which a pod has not heard although it says it is in sync.
func (t *tally) addLost(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts.lost < maxLostShown { // the number says the rest
		t.fails = append(t.fails, "lost: "+what)
	}
	t.counts.lost++
}

// fail notes that a check of the chapter's own did not hold.
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

// problems are the checks that did not hold.
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
		{c.impossible > 0, fmt.Sprintf("%d reads returned a version that nobody wrote", c.impossible)},
		{c.cached == 0, "no read was served from a cache: nothing was tested"},
		{c.noAnswer > 0 && !t.allowed.pods, fmt.Sprintf("%d reads of a pod were not answered", c.noAnswer)},
		{c.noAnswerFront > 0 && !t.allowed.front, fmt.Sprintf("%d reads of the round-robin address were not answered", c.noAnswerFront)},
	} {
		if check.failed {
			all = append(all, check.text)
		}
	}
	return all
}
