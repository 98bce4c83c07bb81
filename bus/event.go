package bus

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what an event can carry, in bytes.
const (
	MaxTopicLen = 200
	MaxKeyLen   = 1024
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidEvent, fmt.Sprintf(format, args...))
}

func checkTopic(topic string) error {
	if topic == "" {
		return invalid("topic is empty")
	}
	if len(topic) > MaxTopicLen {
		return invalid("topic %.32q… has %d bytes, at most %d", topic, len(topic), MaxTopicLen)
	}
	return checkText("topic", topic)
}

func checkKey(topic, key string) error {
	if len(key) > MaxKeyLen {
		return invalid("topic %q: key %.32q… has %d bytes, at most %d", topic, key, len(key), MaxKeyLen)
	}
	if err := checkText("key", key); err != nil {
		return fmt.Errorf("%w (topic %q)", err, topic)
	}
	return nil
}

func checkText(what, text string) error {
	if !utf8.ValidString(text) {
		return invalid("%s %.32q is not valid UTF-8", what, text)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return invalid("%s %.32q contains NUL", what, text)
	}
	return nil
}

// check says what is wrong with an event, if anything.
func (e Event) check() error {
	if err := checkTopic(e.Topic); err != nil {
		return err
	}
	if e.All {
		return nil
	}
	for _, key := range e.Keys {
		if err := checkKey(e.Topic, key); err != nil {
			return err
		}
	}
	return nil
}

// pending gathers the events of one transaction: one per topic, equal keys folded, and more than maxKeys keys of a
// topic collapsed to the whole topic. The zero value is empty.
type pending struct {
	events []Event
	err    error // the first bad event
}

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
	i := 0
	for i < len(p.events) && p.events[i].Topic != topic {
		i++
	}
	if i == len(p.events) {
		p.events = append(p.events, Event{Topic: topic})
	}
	p.events[i].merge(keys, all, maxKeys)
}

// merge folds more keys into an event.
func (e *Event) merge(keys []string, all bool, maxKeys int) {
	if e.All || all {
		e.All, e.Keys = true, nil
		return
	}
	if len(keys) == 1 && len(e.Keys) == 0 { // by far the most frequent
		e.Keys = []string{keys[0]}
		return
	}
	seen := make(map[string]struct{}, len(e.Keys)+len(keys))
	for _, key := range e.Keys {
		seen[key] = struct{}{}
	}
	for _, key := range keys {
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			e.Keys = append(e.Keys, key)
		}
	}
	if len(e.Keys) > maxKeys {
		e.All, e.Keys = true, nil
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

// stagedRow is an event in the JSON that insert_events.sql takes.
type stagedRow struct {
	N     int32    `json:"n"`
	Topic string   `json:"t"`
	Keys  []string `json:"k,omitempty"`
	Whole bool     `json:"w,omitempty"`
}

func stagedJSON(events []Event, first int32) (string, error) {
	rows := make([]stagedRow, len(events))
	for i, e := range events {
		rows[i] = stagedRow{N: first + int32(i), Topic: e.Topic, Keys: e.Keys, Whole: e.All}
	}
	text, err := json.Marshal(rows)
	return string(text), err
}
