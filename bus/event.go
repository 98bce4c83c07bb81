package bus

import (
	"fmt"
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/naming"
)

// Limits of an [Event], in bytes.
const (
	MaxTopicLen = naming.MaxTopicLen
	MaxKeyLen   = naming.MaxKeyLen
)

// check says what is wrong with an event, if anything.
func (e Event) check() error {
	if err := naming.CheckTopic(e.Topic); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	if e.All {
		return nil
	}
	for _, key := range e.Keys {
		if err := naming.CheckKey(e.Topic, key); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
		}
	}
	return nil
}

// pending collects the events of one transaction: one per topic, equal keys folded, and more than maxKeys keys of a
// topic collapsed to the whole topic. The work is linear in what is added. The zero value is empty.
type pending struct {
	events []Event
	keys   []map[string]struct{} // beside events: the keys of an event that has more than fewItems
	topics map[string]int        // the place of each topic in events, once there are more than fewItems
	err    error                 // the first bad event
}

// fewItems is how many are compared one by one. Most transactions have fewer, and no map is made for them.
const fewItems = 16

func (p *pending) add(topic string, keys []string, all bool, maxKeys int) {
	if p.err != nil {
		return
	}
	e := Event{Topic: topic, Keys: keys, All: all}
	if err := e.check(); err != nil {
		p.err = err
		return
	}
	if len(keys) == 0 && !all {
		return
	}

	i := p.place(topic)
	if e := &p.events[i]; e.All || all {
		e.All, e.Keys, p.keys[i] = true, nil, nil
		return
	}
	for _, key := range keys {
		p.addKey(i, key)
		if e := &p.events[i]; len(e.Keys) > maxKeys {
			e.All, e.Keys, p.keys[i] = true, nil, nil
			return
		}
	}
}

// place returns the place of a topic in events, which has one for it afterwards.
func (p *pending) place(topic string) int {
	if p.topics != nil {
		if i, ok := p.topics[topic]; ok {
			return i
		}
	} else if i := slices.IndexFunc(p.events, func(e Event) bool { return e.Topic == topic }); i >= 0 {
		return i
	}

	i := len(p.events)
	p.events, p.keys = append(p.events, Event{Topic: topic}), append(p.keys, nil)
	switch {
	case p.topics != nil:
		p.topics[topic] = i
	case len(p.events) > fewItems:
		p.topics = make(map[string]int, 2*len(p.events))
		for i, e := range p.events {
			p.topics[e.Topic] = i
		}
	}
	return i
}

// addKey adds a key to an event that does not have it yet.
func (p *pending) addKey(i int, key string) {
	e := &p.events[i]
	if p.keys[i] == nil && len(e.Keys) < fewItems {
		if !slices.Contains(e.Keys, key) {
			e.Keys = append(e.Keys, key)
		}
		return
	}

	if p.keys[i] == nil {
		p.keys[i] = make(map[string]struct{}, 2*len(e.Keys))
		for _, key := range e.Keys {
			p.keys[i][key] = struct{}{}
		}
	}
	if _, ok := p.keys[i][key]; !ok {
		p.keys[i][key] = struct{}{}
		e.Keys = append(e.Keys, key)
	}
}

// absorb takes over the events of a savepoint that was released.
func (p *pending) absorb(inner *pending, maxKeys int) {
	if p.err == nil {
		p.err = inner.err
	}
	for _, e := range inner.events {
		p.add(e.Topic, e.Keys, e.All, maxKeys)
	}
}

// gather checks and folds the events of a Publish or a Stage.
func gather(events []Event, maxKeys int) ([]Event, error) {
	var p pending
	for _, e := range events {
		keys := e.Keys
		if e.All {
			keys = nil
		}
		p.add(e.Topic, keys, e.All, maxKeys)
	}
	return p.events, p.err
}
