package sessionimport

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrConfig is returned when a Config field has an invalid value. The text names it.
var ErrConfig = errors.New("sessionimport: invalid configuration")

// DefaultBatch is the default number of rows per read.
const DefaultBatch = 500

// Result counts sessions.
type Result struct {
	Imported   int
	Present    int // unchanged, because they exist or ended in the new store, or have expired
	Unreadable int // not decoded: unregistered types, other keys, or another name
	Refused    int // too large, or the user has too many
}

// String formats the counts for people.
func (r Result) String() string {
	return fmt.Sprintf("%d imported, %d present or over, %d unreadable, %d refused", r.Imported, r.Present, r.Unreadable, r.Refused)
}

func batch(n int) (int, error) {
	n = cmp.Or(n, DefaultBatch)
	if n < 1 {
		return 0, fmt.Errorf("%w: Batch: %d is less than 1", ErrConfig, n)
	}
	return n, nil
}

// render puts a table's name, with its schema or without, quoted in the place of the one in a statement.
func render(text, mark, table string) (string, error) {
	parts := strings.Split(table, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("%w: Table: %q has more than a schema and a name", ErrConfig, table)
	}
	for _, part := range parts {
		if part == "" || len(part) > 63 || strings.ContainsRune(part, 0) {
			return "", fmt.Errorf("%w: Table: %q is no name", ErrConfig, table)
		}
	}
	return strings.ReplaceAll(text, mark, pgx.Identifier(parts).Sanitize()), nil
}
