package leasequeue

import "slices"

// Try is acquire.sql. It returns the token; 0 if it was not to be had.
func (s *State) Try(id ID) (token int32) {
	if !s.Exists {
		s.Token++
		s.Exists, s.Holds, s.Grant, s.Expires = true, s.Token, id, s.Now+TTL

		return s.Holds
	}

	again := s.Grant == id && s.Expires > s.Now
	turn := s.Expires <= s.Now && (!s.Queued && s.Next == 0 || s.mayTake(id))
	if !again && !turn || s.locked() {
		return 0
	}

	first, some := s.Head, true
	if s.Queued {
		s.remove(id)
		if s.Next != 0 && s.Next != id {
			s.remove(s.Next)
		}
		first, some = s.first(s.Head)
	}
	s.grant(id, again, first, some)

	return s.Holds
}

// Take is acquire_free.sql.
func (s *State) Take(id ID) (token int32) {
	if !s.Exists || s.Expires > s.Now || (s.Queued || s.Next != 0) && !s.Off.PassQueue || s.locked() {
		return 0
	}
	s.Token++
	s.Holds, s.Grant, s.Expires, s.NextUntil = s.Token, id, s.Now+TTL, 0

	return s.Holds
}

// Claim is claim.sql.
func (s *State) Claim(id ID) (token int32) {
	if !s.Exists || s.Next != id || s.Expires > s.Now || s.locked() {
		return 0
	}
	first, some := s.Head, true
	if s.Queued {
		s.remove(id)
		first, some = s.first(s.Head)
	}
	s.grant(id, false, first, some)

	return s.Holds
}

// Enqueue is enqueue.sql. It returns whether there is such a lease, and whether it is free by now.
func (s *State) Enqueue(id ID) (exists, free bool) {
	if !s.Exists {
		return false, false
	}
	s.Place++ // the table's identity gives one out in any case
	w := s.Waiter(id)
	if w == nil {
		s.Waiters = append(s.Waiters, Waiter{ID: id, Place: s.Place})
		w = &s.Waiters[len(s.Waiters)-1]
	}
	w.Seen = s.Now
	if !s.Queued && !s.Off.UnmarkedQueue {
		s.Queued, s.Head = true, w.Place
	}

	return true, s.Expires <= s.Now && (s.Next == 0 || s.NextUntil <= s.Now)
}

// Release is release.sql. It returns whether the lease was held by the token, and who is next.
func (s *State) Release(token int32) (held bool, heir ID) {
	if !s.Exists || s.Holds != token || s.Expires == Free {
		return false, 0
	}
	if s.Queued {
		first, some := s.first(s.Head)
		if some {
			s.Head = first
		}
		heir = s.firstLive(s.Head, 0)
	}
	s.Expires = Free
	s.handTo(heir)

	return true, heir
}

// ReleaseFree is release_free.sql.
func (s *State) ReleaseFree(token int32) (held bool) {
	if !s.Exists || s.Holds != token || s.Expires == Free || s.Queued {
		return false
	}
	s.Expires = Free

	return true
}

// Leave is leave.sql. It returns who is next, if anyone is.
func (s *State) Leave(id ID) (heir ID) {
	s.remove(id)
	if !s.Exists {
		return 0
	}
	first, some := s.first(s.Head)
	mine := s.Grant == id && s.Expires != Free

	switch {
	case s.Next == id || mine:
		if some {
			s.Head = first
		}
		heir = s.firstLive(s.Head, 0)
		if mine {
			s.Expires = Free
		}
		s.Queued = s.Queued && some
		s.handTo(heir)
	case s.Queued && (!some || first > s.Head+100):
		s.Queued = some
		if some {
			s.Head = first
		}
	}

	return heir
}

// Renew is renew.sql for one lease. It returns whether it was renewed.
func (s *State) Renew(token int32) bool {
	if !s.Exists || s.Holds != token || s.Expires <= s.Now {
		return false
	}
	s.Expires = s.Now + TTL

	return true
}

// Touch is touch.sql for one waiter. It returns whether there is such a waiter, and whether it would be its turn if the lease
// were free, as of before.
func (s *State) Touch(id ID) (waits, turn bool) {
	w := s.Waiter(id)
	if w == nil {
		return false, false
	}
	turn = !s.Exists || s.Next == id || s.firstLive(s.Head, s.Next) == id
	w.Seen = s.Now
	if s.Next == id && s.NextUntil > s.Now {
		s.NextUntil = s.Now + Claim
	}

	return true, turn
}

// Guard is guard.sql. It returns whether the transaction is guarded.
func (s *State) Guard(id ID, token int32) bool {
	if !s.Exists || s.Expires <= s.Now && !s.Off.AnyGuard || (s.Holds != token || s.Grant != id) && !s.Off.AnyGuard {
		return false
	}
	s.Guarded++

	return true
}

// Unguard is the end of a guarded transaction.
func (s *State) Unguard() { s.Guarded-- }

// locked reports whether FOR UPDATE would have to wait.
func (s *State) locked() bool { return s.Guarded > 0 && !s.Off.UnlockedToken }

func (s *State) mayTake(id ID) bool {
	if s.Off.PassQueue || s.Next == id {
		return true
	}
	if s.Next != 0 && (s.NextUntil > s.Now || s.Off.WaitForLapsed) {
		return false
	}
	first := s.firstLive(s.Head, s.Next)

	return first == 0 || first == id
}

// grant writes a grant into the row.
func (s *State) grant(id ID, again bool, first int32, some bool) {
	if !again {
		s.Token++
		s.Holds = s.Token
	}
	s.Grant, s.Expires = id, s.Now+TTL
	s.Queued = s.Queued && some
	if some {
		s.Head = first
	}
	s.Next, s.NextUntil = 0, 0
}

func (s *State) handTo(heir ID) {
	s.Next, s.NextUntil = heir, 0
	if heir != 0 {
		s.NextUntil = s.Now + Claim
	}
}

// first returns the place of the first waiter from a place on, dead or alive.
func (s *State) first(from int32) (place int32, ok bool) {
	for _, w := range s.Waiters {
		if w.Place >= from {
			return w.Place, true
		}
	}

	return 0, false
}

// firstLive returns the first live waiter from a place on, beside the one that let a hand-over lapse.
func (s *State) firstLive(from int32, lapsed ID) ID {
	for i := range s.Waiters {
		if w := &s.Waiters[i]; w.Place >= from && s.IsLive(w) && w.ID != lapsed {
			return w.ID
		}
	}

	return 0
}

func (s *State) remove(id ID) {
	s.Waiters = slices.DeleteFunc(s.Waiters, func(w Waiter) bool { return w.ID == id })
}
