package recovery_test

import (
	"fmt"
	"sync"
	"time"
)

// kind is what can be wrong.
type kind string

const (
	stale   kind = "stale beyond the bound"
	back    kind = "session back"
	refused kind = "session refused"
	went    kind = "token went back"
	kept    kind = "lost lease kept"
	missing kind = "event missing"
	undone  kind = "commit undone"
)

var allKinds = []kind{stale, back, refused, went, kept, missing, undone}

// ledger is what this process knows to have happened, by its own clock, and what contradicts that. An event counts from
// when its response arrived and a read from when it was sent, so both errors are in favour of what is tested.
type ledger struct {
	bound time.Duration

	mu       sync.Mutex
	values   map[string]*value
	sessions map[string]*login
	token    int64 // the largest of any key
	checked  map[kind]int
	broken   map[kind][]string
}

// value is the history of one key. Versions grow, over all keys and timelines.
type value struct {
	committed []version
	lost      []interval
}

type version struct {
	n  int64
	at time.Time
}

// interval are the versions above low, up to high, which were lost at a time.
type interval struct {
	low, high int64
	at        time.Time
}

// login is a session.
type login struct {
	over   time.Time // revoked, or lost with its timeline; zero: neither
	beyond bool      // created after the recovery point: it is not known whether it exists
}

func newLedger(bound time.Duration) *ledger {
	return &ledger{
		bound: bound, values: map[string]*value{}, sessions: map[string]*login{},
		checked: map[kind]int{}, broken: map[kind][]string{},
	}
}

// check counts one look at something, and notes it if it is wrong.
func (l *ledger) check(k kind, wrong bool, format string, args ...any) {
	l.checked[k]++
	if wrong && len(l.broken[k]) < 5 {
		l.broken[k] = append(l.broken[k], fmt.Sprintf(format, args...))
	}
}

// look is check for callers that do not have the lock.
func (l *ledger) look(k kind, wrong bool, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.check(k, wrong, format, args...)
}

// committed notes that a version of a key was committed at a time or before.
func (l *ledger) committed(key string, n int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.values[key]
	if v == nil {
		v = &value{}
		l.values[key] = v
	}
	v.committed = append(v.committed, version{n, at})
}

// newest returns the newest version of a key that is known to be committed.
func (l *ledger) newest(key string) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.values[key]; v != nil {
		for _, c := range v.committed {
			n = max(n, c.n)
		}
	}
	return n
}

// rewound notes that a recovery went back to a version of a key, and what was lost: all up to the last that was written.
func (l *ledger) rewound(key string, to, last int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.values[key]
	if v == nil {
		return
	}
	var left []version
	for _, c := range v.committed {
		if c.n <= to {
			left = append(left, c)
		}
	}
	v.committed = left
	v.lost = append(v.lost, interval{to, last, at})
}

// read judges a value that a pod served.
func (l *ledger) read(pod, key string, n int64, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.values[key]
	if v == nil {
		return
	}

	var age time.Duration
	for _, c := range v.committed {
		if c.n > n {
			age = max(age, sent.Sub(c.at))
		}
	}
	for _, i := range v.lost {
		if n > i.low && n <= i.high {
			age = max(age, sent.Sub(i.at))
		}
	}
	l.check(stale, age > l.bound, "%s served version %d of %s, out of date for %v", pod, n, key, age)
}

// loggedIn notes a new session. beyond is one that a recovery may lose.
func (l *ledger) loggedIn(token string, beyond bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[token] = &login{beyond: beyond}
}

// over notes that a session has ended at a time.
func (l *ledger) over(token string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[token].over = at
}

// survived notes that a session whose fate was open exists after the recovery.
func (l *ledger) survived(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[token].beyond = false
}

// session judges what a pod says of a session.
func (l *ledger) session(pod, token string, in bool, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[token]
	switch {
	case s == nil:
	case !s.over.IsZero():
		age := sent.Sub(s.over)
		l.check(back, in && age > l.bound, "%s let a session in %v after its end", pod, age)
	case !s.beyond:
		l.check(refused, !in, "%s refused a session that nobody revoked", pod)
	}
}

// granted judges a token: it is larger than any before, whatever the key.
func (l *ledger) granted(pod, key string, token int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.check(went, token <= l.token, "%s was granted %s with token %d, after %d", pod, key, token, l.token)
	l.token = max(l.token, token)
}

// grants returns how many tokens were judged.
func (l *ledger) grants() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checked[went]
}

// result returns how often each kind was looked at and what was wrong, and begins both anew.
func (l *ledger) result() (checked map[kind]int, broken map[kind][]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	checked, broken = l.checked, l.broken
	l.checked, l.broken = map[kind]int{}, map[kind][]string{}
	return checked, broken
}
