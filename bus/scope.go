package bus

// scope holds the invalidations of a transaction or a savepoint. They share its fate.
type scope struct {
	parent   *scope   // nil for a transaction
	open     []*scope // savepoints begun in it
	events   pending
	maxKeys  int
	readOnly bool // the transaction was begun so, and an invalidation in it is an error
	done     bool
}

// closed reports whether it or one around it has ended.
func (s *scope) closed() bool {
	for ; s != nil; s = s.parent {
		if s.done {
			return true
		}
	}
	return false
}

// note adds to the innermost of this one and those around it that has not ended: an invalidation that comes after a
// savepoint was released still counts. It returns false if the transaction itself has ended.
func (s *scope) note(topic string, keys []string, all bool) bool {
	for s.done {
		if s.parent == nil {
			return false
		}
		s = s.parent
	}
	s.events.add(topic, keys, all, s.maxKeys)
	if s.readOnly && s.events.err == nil && len(s.events.events) > 0 {
		s.events.err = ErrReadOnly
	}
	return true
}

// refuse makes the commit fail with an error, unless the savepoint is rolled back. It returns false if the transaction itself
// has ended.
func (s *scope) refuse(err error) bool {
	for s.done {
		if s.parent == nil {
			return false
		}
		s = s.parent
	}
	if s.events.err == nil {
		s.events.err = err
	}
	return true
}

// nest begins a savepoint.
func (s *scope) nest() *scope {
	inner := &scope{parent: s, maxKeys: s.maxKeys, readOnly: s.readOnly}
	s.open = append(s.open, inner)
	return inner
}

// adopt takes over from savepoints that are still open: COMMIT and RELEASE keep what was done in them.
func (s *scope) adopt() {
	for _, inner := range s.open {
		if !inner.done {
			inner.adopt()
			s.events.absorb(&inner.events, s.maxKeys)
		}
	}
	s.open = nil
}

// release ends a savepoint by keeping what was noted since; it is the outer one's now.
func (s *scope) release() {
	s.done = true
	s.parent.events.absorb(&s.events, s.maxKeys)
}

// drop ends it by forgetting what was noted.
func (s *scope) drop() {
	s.done = true
	s.events, s.open = pending{}, nil
}
