package main

import (
	"slices"
	"time"
)

// answered judges the answer of a pod about a token, which was asked for at a time.
func (g *gate) answered(pod string, t *ticket, a Answer, fresh bool, sent time.Time) {
	if a.Outcome == Unknown {
		return
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	in := a.Outcome == Done
	g.tally.answers++

	if since, over := g.overSince(t, sent); over {
		g.letIn(pod, t, in, fresh, sent.Sub(since))
	}

	if g.confirmedOver(t, sent) {
		if g.tally.untrue.add(in); in {
			g.prove("%s let %s in after its end was confirmed", pod, t.of.id)
		}
	}

	if sent.After(t.deadline) {
		if g.tally.overdue.add(in); in {
			g.prove("%s let %s in %v after its deadline", pod, t.of.id, sent.Sub(t.deadline))
		}
	}

	if !t.replaced.IsZero() && sent.After(t.replaced) {
		if g.tally.replaced.add(in); in {
			g.prove("%s let %s in by a token that was replaced, %v too long", pod, t.of.id, sent.Sub(t.replaced))
		}
	}

	if in {
		g.usedFirst(t)
		g.content(pod, t, a, sent)
		return
	}

	// A deadline is counted down from before the database was asked: it comes early by as long as that took.
	if left := time.Until(t.lasts); t.from.Before(sent) && left > sessionQuery && g.sure(t) {
		g.tally.refused.add(true)
		g.prove("%s refused %s of %q, known for %v and valid for %v more", pod, t.of.id, t.user, time.Since(t.from), left)
	}
}

func (g *gate) letIn(pod string, t *ticket, in, fresh bool, age time.Duration) {
	if fresh {
		if g.tally.revived.add(in); in {
			g.prove("%s found %s in the database %v after its end", pod, t.of.id, age)
		}
		return
	}

	late := in && age > g.bound

	if in {
		g.tally.worst = max(g.tally.worst, age)
	}
	if in && !late {
		g.tally.within++
	}
	if g.tally.ended.add(late); late {
		g.prove("%s let %s in %v after its end", pod, t.of.id, age)
	}
}

// content judges what somebody was let in to.
func (g *gate) content(pod string, t *ticket, a Answer, sent time.Time) {
	if g.sure(t) {
		g.tally.refused.add(false)
	}

	mixed := a.ID != t.of.id || a.User != t.user || a.Sheet.Secret != t.of.secret
	if g.tally.mixed.add(mixed); mixed {
		g.prove("%s served session %s of %q, not %s of %q", pod, a.ID, a.User, t.of.id, t.user)
		return
	}

	for element, version := range t.of.saved {
		if version <= a.Version && !slices.Contains(a.Sheet.Elements, element) {
			delete(t.of.saved, element) // said once
			g.tally.vanished.bad++
			g.prove("%s: element %d, saved in version %d of %s, is not in version %d", pod, element, version, t.of.id, a.Version)
		}
	}

	age, old := t.of.data.supersededFor(a.Version, sent)
	switch {
	case !old:
	case age > g.bound:
		g.tally.ended.bad++
		g.prove("%s served version %d of %s, superseded for %v", pod, a.Version, t.of.id, age)
	default:
		g.tally.within++
	}
}

// wrote judges a write that was answered with success: the database must not have known of an end when it was asked for.
func (g *gate) wrote(t *ticket, what string, at span) {
	since, over := g.overSince(t, at.call)
	if over {
		g.tally.revived.add(true)
		g.prove("%s was %s %v after its end", t.of.id, what, at.call.Sub(since))
	}
	if at.call.After(t.deadline) {
		g.tally.overdue.add(true)
		g.prove("%s was %s after its deadline", t.of.id, what)
	}
	if !t.replaced.IsZero() && at.call.After(t.replaced) {
		g.tally.replaced.add(true)
		g.prove("%s was %s by a token that was replaced", t.of.id, what)
	}
}

// keeping is wrote for who calls it from outside.
func (g *gate) keeping(t *ticket, at span) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote(t, "kept", at)
}

// refusedWrite counts a write that was refused, if it had to be.
func (g *gate) refusedWrite(t *ticket, at span) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, over := g.overSince(t, at.call); over {
		g.tally.revived.add(false)
	}
}

// saved notes an element that was saved in a version: no other may have been.
func (g *gate) saved(t *ticket, element, version int64, at span) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote(t, "saved", at)
	other, taken := t.of.versions[version]
	if g.tally.vanished.add(taken); taken {
		g.prove("%s: elements %d and %d were both saved in version %d", t.of.id, other, element, version)
	}
	t.of.saved[element], t.of.versions[version] = version, element
	t.of.data.committed = learn(t.of.data.committed, since{version, at.answer})
}

// looked judges what the database itself says of a session, which was asked at a time.
func (g *gate) looked(id string, over bool, at span) {
	g.mu.Lock()
	defer g.mu.Unlock()

	r := g.records[id]
	if r == nil {
		return
	}

	if over {
		if r.over.IsZero() || at.answer.Before(r.over) {
			r.over = at.answer
		}
		g.tally.revived.add(false)
		return
	}

	since, was := r.over, !r.over.IsZero() && r.over.Before(at.call)
	if !was && !r.current.asked { // one whose answer was lost may be of another user by now
		since, was = g.overSince(r.current, at.call)
	}

	if was {
		g.tally.revived.add(true)
		g.prove("%s is valid in the database, %v after its end", id, at.call.Sub(since))
	}
}

// took judges what came of an attempt to take one.
func (g *gate) took(value string, a Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()

	v := g.values[value]
	switch a.Outcome {
	case Done:
		v.taken++

		if v.taken == 1 {
			g.tally.twice.of++
		}

		if v.taken == 2 {
			g.tally.twice.bad++
			g.prove("a one-time value was taken twice")
		}

		if g.tally.mixed.add(a.Sheet.Secret != v.data); a.Sheet.Secret != v.data {
			g.prove("a one-time value gave what was put for another")
		}
	case Refused:
		v.refused++
	case Unknown:
		v.doubt = true
	}
}

// finish judges what can only be said in the end.
func (g *gate) finish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, v := range g.values {
		if v.refused > 0 && !v.doubt {
			if g.tally.refused.add(v.taken == 0); v.taken == 0 {
				g.prove("a one-time value was refused to all")
			}
		}
	}
}
