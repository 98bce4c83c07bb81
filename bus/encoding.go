package bus

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// In a database whose encoding is UTF8, on a connection whose client_encoding is, every key is in the log what it is in
// Go. Elsewhere texts are converted, or not, as the encodings on both sides have it, and a key can become another one. So
// there an event is written with keys in ASCII, which is the same in all of them, or as one of the whole topic.

// writable returns events as they can be written through a connection. The error is ErrInvalidEvent.
func writable(conn *pgconn.PgConn, events []Event) ([]Event, error) {
	if conn.ParameterStatus("server_encoding") == "UTF8" && conn.ParameterStatus("client_encoding") == "UTF8" {
		return events, nil
	}
	for _, e := range events {
		if !isASCII(e.Topic) {
			return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, errTopicEncoding(e.Topic))
		}
	}
	return asASCII(events), nil
}

func errTopicEncoding(topic string) error {
	return fmt.Errorf("topic %.32q: it has to be ASCII unless server_encoding and client_encoding are UTF8", topic)
}

// asASCII returns events in which those with a key that is not ASCII are of the whole topic.
func asASCII(events []Event) []Event {
	plain := func(key string) bool { return isASCII(key) }
	if !slices.ContainsFunc(events, func(e Event) bool { return !allKeys(e.Keys, plain) }) {
		return events
	}
	all := slices.Clone(events)
	for i, e := range all {
		if !allKeys(e.Keys, plain) {
			all[i] = Event{Topic: e.Topic, All: true}
		}
	}
	return all
}

func allKeys(keys []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return !ok(key) })
}

// isASCII reports whether a text is made of printable ASCII.
func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// storable returns a text for people as the database can store it.
func (e *env) storable(text string) string {
	if !e.asciiOnly.Load() {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return r
		}
		return '?'
	}, text)
}
