package main

// smallWorld is a world that is searched, of whichever rules.
type smallWorld struct {
	name, doc string
	first     func() state
}

// missingRule is a search without one rule.
type missingRule struct {
	name  string
	scope string
	deep  bool // too many states for a test
	first func() state
}

// worlds returns the worlds of the bus, of fills, and of the lease queue.
func worlds() (list []smallWorld) {
	for _, s := range scopes {
		list = append(list, smallWorld{s.name, s.doc, func() state { return newWorld(&s) }})
	}
	for _, s := range fillScopes {
		list = append(list, smallWorld{s.name, s.doc, func() state { return newFillWorld(&s) }})
	}

	for _, s := range queueScopes {
		list = append(list, smallWorld{s.name, s.doc, func() state { return newQueueWorld(&s) }})
	}

	return list
}

// allRules returns the rules of all worlds.
func allRules() (list []missingRule) {
	for _, r := range rules {
		s := scopeOf(r.scope)
		s.off = r.off
		list = append(list, missingRule{r.name, r.scope, r.deep, func() state { return newWorld(&s) }})
	}
	for _, r := range fillRules {
		s := fillScopeOf(r.scope)
		s.off = r.off
		list = append(list, missingRule{r.name, r.scope, r.deep, func() state { return newFillWorld(&s) }})
	}

	for _, r := range queueRules {
		s := queueScopeOf(r.scope)
		s.off = r.off
		list = append(list, missingRule{r.name, r.scope, r.deep, func() state { return newQueueWorld(&s) }})
	}

	return list
}

func scopeOf(name string) scope {
	for _, s := range scopes {
		if s.name == name {
			return s
		}
	}
	panic("no scope " + name) // a mistake in the table of rules
}

func fillScopeOf(name string) fillScope {
	for _, s := range fillScopes {
		if s.name == name {
			return s
		}
	}
	panic("no scope " + name)
}

func queueScopeOf(name string) queueScope {
	for _, s := range queueScopes {
		if s.name == name {
			return s
		}
	}
	panic("no scope " + name)
}
