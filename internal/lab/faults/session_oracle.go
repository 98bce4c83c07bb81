package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// gate is the oracle of rows about sessions: it knows since when each end is known to have happened, and judges every
// answer. Like the other it goes by this process' clock alone: an end counts from the moment at which there was evidence
// of it, an answer from the moment at which it was asked for, so what it reports is a violation.
type gate struct {
	bound time.Duration

	mu      sync.Mutex
	records map[string]*record // by id
	tickets map[string]*ticket // by token
	users   map[string]*history
	asked   map[string]map[int64]bool // passwords that were to be set, and may have been
	values  map[string]*oneTime
	// The end of all sessions: how many were asked for and have not been answered, and which tickets they may have ended.
	allAsked int
	allUntil time.Time
	tally    sessionTally
	proofs   []string
}

func newGate(bound time.Duration) *gate {
	return &gate{
		bound: bound, records: map[string]*record{}, tickets: map[string]*ticket{}, users: map[string]*history{},
		asked: map[string]map[int64]bool{}, values: map[string]*oneTime{},
	}
}

func (g *gate) user(name string) *history {
	if g.users[name] == nil {
		g.users[name] = &history{}
	}
	return g.users[name]
}

// created notes a new session.
func (g *gate) created(m Made, c Creation, password int64, at span) *ticket {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &record{id: m.ID, secret: c.Secret, kept: map[int64]bool{}, saved: map[int64]int64{}, versions: map[int64]int64{}}
	g.records[r.id] = r
	t := &ticket{
		token: m.Token, of: r, user: m.User, password: password, begun: at.call, from: at.answer, lasts: at.call.Add(c.Absolute), deadline: at.answer.Add(c.Absolute),
	}
	g.tickets[t.token], r.current = t, t
	g.login(t, at)
	return t
}

// login judges one that came through: the password must not be known to be another when it was asked to.
func (g *gate) login(t *ticket, at span) {
	if t.user == "" {
		return
	}
	known := g.user(t.user).committed
	if len(known) == 0 || known[len(known)-1].version <= t.password {
		return // nobody has changed it since: it could not be late
	}
	newest, ok := newestBefore(known, at.call)
	g.loginTried(ok && newest.version > t.password, "%s was logged in with password %d after %d was set", t.user, t.password, newest.version)
}

// refusedLogin counts one that was too late and did not come through.
func (g *gate) refusedLogin(user string, password int64, at span) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if newest, ok := newestBefore(g.user(user).committed, at.call); ok && newest.version > password {
		g.loginTried(false, "")
	}
}

func (g *gate) loginTried(bad bool, format string, args ...any) {
	if g.tally.late.add(bad); bad {
		g.prove(format, args...)
	}
}

// rotating notes that a token is about to be replaced.
func (g *gate) rotating(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.asked = true
	t.of.doubt++
}

// rotated notes that it was. Without a login the new one has what the old one had; with one it is of another user, and
// lasts anew.
func (g *gate) rotated(t *ticket, m Made, r Rotation, password int64, at span) *ticket {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote(t, "rotated", at)
	if same := g.tickets[m.Token]; same != nil {
		t.of.doubt--
		return same // all who rotate one token with a grace are given the same
	}
	next := &ticket{
		token: m.Token, of: t.of, user: t.user, password: t.password, begun: at.call, from: at.answer, lasts: t.lasts, deadline: t.deadline,
	}
	if r.Login != "" {
		next.user, next.password, next.lasts, next.deadline = m.User, password, at.call.Add(r.Absolute), at.answer.Add(r.Absolute)
		g.login(next, at)
	}

	// Of two rotations at the same time the one that is answered last need not have been the last: it is not known which
	// token is the current one, so the session stays in doubt.
	if at.call.Before(t.of.rotated) {
		next.asked, t.of.current.asked = true, true
		g.tickets[next.token] = next
		return next
	}
	t.of.rotated = at.answer
	for _, other := range g.tickets {
		if other.of != t.of {
			continue
		}
		if other == t && r.Grace > 0 {
			next.before, next.grace = t, r.Grace
			continue
		}
		g.replacedFor(other, at.answer.Add(g.bound))
	}
	g.tickets[next.token], t.of.current = next, next
	t.of.doubt--
	if m.ID != t.of.id {
		g.tally.mixed.bad++
		g.prove("rotation of session %s answered session %s", t.of.id, m.ID)
	}
	return next
}

// replacedFor notes since when a token is known to open nothing.
func (g *gate) replacedFor(t *ticket, dead time.Time) {
	if t.replaced.IsZero() || dead.Before(t.replaced) {
		t.replaced = dead
	}
}

// noting is how long a pod may take to note the first use of a new token.
const noting = time.Second

// usedFirst notes that a token was used: the grace of the one before has begun.
func (g *gate) usedFirst(t *ticket) {
	if t.before != nil {
		g.replacedFor(t.before, time.Now().Add(noting+max(g.bound, t.grace)))
		t.before = nil
	}
}

// settled notes that what was asked for has not ended a session.
func (g *gate) settled(r *record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.doubt--
}

// ending notes that the end of a session was asked for.
func (g *gate) ending(r *record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.doubt++
}

// over notes evidence that a session is over.
func (g *gate) over(r *record, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.over.IsZero() || at.Before(r.over) {
		r.over = at
	}
}

func (g *gate) overConfirmed(r *record, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.confirmed.IsZero() || at.Before(r.confirmed) {
		r.confirmed = at
	}
}

// changing notes that a password is about to be set, and for which session it is to end nothing.
func (g *gate) changing(user string, password int64, kept *record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if kept != nil {
		kept.kept[password] = true
	}
	g.mayBe(user, password)
}

func (g *gate) mayBe(user string, password int64) {
	if g.asked[user] == nil {
		g.asked[user] = map[int64]bool{}
	}
	g.asked[user][password] = true
}

// unchanged notes that it was not.
func (g *gate) unchanged(user string, password int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.asked[user], password)
}

// endingGuests notes that the end of all sessions was asked for, and returns those that are nobody's.
func (g *gate) endingGuests() (guests []*record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.allAsked++
	for _, r := range g.records {
		if r.current.user == "" && r.doubt == 0 && r.over.IsZero() {
			guests = append(guests, r)
		}
	}
	return guests
}

// endedGuests notes what became of that. One that was made meanwhile may have been ended as well.
func (g *gate) endedGuests(guests []*record, done, refused bool, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.allAsked--

	if refused {
		return
	}

	g.allUntil = time.Now()
	if !done {
		g.allUntil = g.allUntil.Add(2 * writeTimeout) // it may still be under way
		return
	}

	for _, r := range guests {
		if r.current.user == "" && !r.current.asked && (r.over.IsZero() || at.Before(r.over)) {
			r.over = at
		}
	}
}

// sure says that nobody has asked for the end of a ticket.
func (g *gate) sure(t *ticket) bool {
	if t.user == "" && (g.allAsked > 0 || t.begun.Before(g.allUntil)) {
		return false
	}
	if t.of.doubt > 0 || t.asked || !t.replaced.IsZero() || !t.of.over.IsZero() {
		return false
	}
	for password := range g.asked[t.user] {
		if password > t.password && !t.of.kept[password] {
			return false
		}
	}
	return true
}

// changed notes evidence that a password was set.
func (g *gate) changed(user string, password int64, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.user(user)
	h.committed = learn(h.committed, since{password, at})
	g.mayBe(user, password)
}

func (g *gate) changeConfirmed(user string, password int64, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.user(user)
	h.confirmed = learn(h.confirmed, since{password, at})
}

// overSince is since when a ticket has been void for its session's or its user's end, if it was at a time.
func (g *gate) overSince(t *ticket, at time.Time) (since time.Time, over bool) {
	if !t.of.over.IsZero() && t.of.over.Before(at) {
		since, over = t.of.over, true
	}
	if t.user == "" {
		return since, over
	}
	if changed, ok := t.after(g.user(t.user).committed, at); ok && (!over || changed.Before(since)) {
		since, over = changed, true
	}
	return since, over
}

func (g *gate) confirmedOver(t *ticket, at time.Time) bool {
	if !t.of.confirmed.IsZero() && t.of.confirmed.Before(at) {
		return true
	}
	if t.user == "" {
		return false
	}
	_, ok := t.after(g.user(t.user).confirmed, at)
	return ok
}

// put notes a one-time value.
func (g *gate) put(value, data string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.values[value] = &oneTime{data: data}
}

func (g *gate) prove(format string, args ...any) {
	if len(g.proofs) < maxProofs {
		g.proofs = append(g.proofs, fmt.Sprintf(format, args...))
	}
}

// result is the count so far, and the first violations.
func (g *gate) result() (sessionTally, []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tally, slices.Clone(g.proofs)
}
