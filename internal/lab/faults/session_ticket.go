package main

import (
	"fmt"
	"time"
)

// record is a session.
type record struct {
	id, secret string
	over       time.Time // since when it is known to be over; zero: it is not
	confirmed  time.Time // since when its end is confirmed
	doubt      int       // how often its end, or that of a token, was asked for: nobody may rely on it
	current    *ticket   // its last
	rotated    time.Time // when the last rotation was answered
	kept       map[int64]bool
	data       history         // versions of the data
	saved      map[int64]int64 // elements, and the version in which each was saved
	versions   map[int64]int64 // and the other way round
}

// ticket is a token of a session.
type ticket struct {
	token    string
	of       *record
	user     string
	password int64     // that was checked for it
	begun    time.Time // when it was asked for: it may have been there since
	from     time.Time // since when it is known
	lasts    time.Time // it is valid until then at least, if nobody ends it
	deadline time.Time // it is valid until then at most
	replaced time.Time // since when another is known to have replaced it, beyond its grace and the bound; zero: not
	asked    bool      // to be replaced
	// The one that this one has replaced with a grace, which runs from the first use of this one; nil: none, or it was used.
	before *ticket
	grace  time.Duration
}

// after is when the first of what is known that ends a ticket was, if it was before a time.
func (t *ticket) after(known []since, at time.Time) (time.Time, bool) {
	for _, s := range known {
		if s.version > t.password && !t.of.kept[s.version] {
			return s.at, s.at.Before(at)
		}
	}
	return time.Time{}, false
}

// oneTime is a one-time value.
type oneTime struct {
	data    string
	taken   int
	refused int
	doubt   bool // somebody may have taken it and not have heard
}

// count is how many violations there were, of how many times that one could have been.
type count struct{ bad, of int64 }

func (c *count) add(bad bool) {
	c.of++
	if bad {
		c.bad++
	}
}

func (c count) String() string { return fmt.Sprintf("%d/%d", c.bad, c.of) }

// sessionTally is what a row about sessions counts.
type sessionTally struct {
	answers, within int64 // judged; of those that let in who had been ended, within the bound
	worst           time.Duration

	ended    count // let in after the end and the bound; of the answers about ended sessions
	revived  count // written, read from the database, or found there, after the end
	late     count // logins that came through after the password they had checked was changed
	untrue   count // let in after the end was confirmed
	vanished count // saves that vanished; of those that were answered
	mixed    count // answers with another's session, or with another user
	overdue  count // let in after the deadline
	replaced count // let in by a token that had been replaced
	twice    count // one-time values taken twice; of those taken
	leaks    count // secrets that were found where they must not be; of those looked for
	refused  count // valid sessions that were refused
}

// counts are all of them, in the order of the table.
func (t *sessionTally) counts() []count {
	return []count{
		t.ended, t.revived, t.late, t.untrue, t.vanished, t.mixed, t.overdue, t.replaced, t.twice, t.leaks, t.refused,
	}
}

// span is when something was asked and answered.
type span struct{ call, answer time.Time }
