package watch

import (
	"fmt"
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/naming"
)

// DefaultMaxKeys is the default of Watch.MaxKeys.
const DefaultMaxKeys = 1000

// Watch is a table whose changes invalidate keys of a topic, whichever program makes them.
type Watch struct {
	// Table is the table's name, without quotes, with or without its schema: "users", "app.users". Without a schema
	// the connection's search path decides. List always returns it with its schema.
	Table string

	// Topic is the topic that a change invalidates. Several tables can be watched for one topic, and one table for
	// several topics.
	Topic string

	// Key lists the columns whose values make the key, as KeyOf joins them. Defaults to the columns of the primary
	// key, in its order.
	Key []string

	// All makes every change invalidate the whole topic. Leave Key and MaxKeys empty then. Defaults to false.
	All bool

	// MaxKeys is how many keys one statement can invalidate individually. More keys become the whole topic. Defaults
	// to DefaultMaxKeys.
	MaxKeys int

	// Announce says which pod announces a change, and when. Defaults to AfterSweep.
	Announce Announce

	// Broken, in the result of List, says what keeps the watch from working as intended, for example a dropped
	// column; "" if nothing does. Install ignores it.
	Broken string
}

// check returns what is wrong with a watch as far as that can be seen without the database.
func (w *Watch) check() error {
	if w.Table == "" {
		return invalid("Table is empty")
	}
	if err := naming.CheckText("Table", w.Table); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := naming.CheckTopic(w.Topic); err != nil {
		return fmt.Errorf("%w: table %q: %w", ErrInvalid, w.Table, err)
	}
	for i, column := range w.Key {
		if err := naming.CheckText("column", column); err != nil {
			return fmt.Errorf("%w: table %q: Key: %w", ErrInvalid, w.Table, err)
		}
		if slices.Contains(w.Key[:i], column) {
			return invalid("table %q: Key: column %q appears twice", w.Table, column)
		}
	}

	switch {
	case w.All && (len(w.Key) > 0 || w.MaxKeys != 0):
		return invalid("table %q: All leaves Key and MaxKeys without a meaning", w.Table)
	case w.MaxKeys < 0:
		return invalid("table %q: MaxKeys: %d is less than 1", w.Table, w.MaxKeys)
	case w.Announce > InTransaction:
		return invalid("table %q: Announce: %d is unknown", w.Table, w.Announce)
	}
	return nil
}
