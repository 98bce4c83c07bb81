package watch

import (
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// KeyOf returns the key of a row from the values of its key columns, in the order of Watch.Key, as the triggers of a
// watched table compute it. A single value is the key itself. Several values are joined by commas, with "%" and ","
// within a value written as "%25" and "%2C", so different rows of a table never have the same key. The values are the
// texts that Postgres prints in its default formats, as psql shows them: 42, 2026-01-31, 2026-01-31 12:00:00+00
// (times with time zone in UTC), t and f, \x0a; char(n) with its padding.
func KeyOf(values ...string) string {
	if len(values) == 1 {
		return values[0]
	}
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = strings.ReplaceAll(strings.ReplaceAll(v, "%", "%25"), ",", "%2C")
	}
	return strings.Join(escaped, ",")
}

// keySQL is KeyOf as an expression over a row named r; null if one of the columns is. A column becomes text by concat,
// which uses its type's output function: a cast could be a function of the application, and would run with the rights of our
// owner. Keys are compared byte by byte: by a collation of the column's two of them may count as the same.
func keySQL(columns []string) string {
	var conditions, parts []string
	for _, c := range columns {
		c = "r." + sqltext.Quote(c)
		conditions = append(conditions, c+" IS NOT NULL")
		part := `concat(` + c + `) COLLATE "C"`
		if len(columns) > 1 {
			part = "replace(replace(" + part + ", '%', '%25'), ',', '%2C')"
		}
		parts = append(parts, part)
	}
	return "CASE WHEN " + strings.Join(conditions, " AND ") + " THEN " + strings.Join(parts, " || ',' || ") + " END"
}

// ParseKey is the inverse of [KeyOf]: it returns the values of the key columns, for the ParseKey of a cache. columns
// is how many there are. It returns an error for a key that KeyOf cannot have made of that many.
func ParseKey(key string, columns int) ([]string, error) {
	if columns == 1 {
		return []string{key}, nil
	}

	values := strings.Split(key, ",")
	if len(values) != columns {
		return nil, invalid("key of %d values, want %d", len(values), columns)
	}

	for i, v := range values {
		values[i] = keyUnescaper.Replace(v)
		if again := KeyOf(values[i], ""); again != v+"," {
			return nil, invalid("key with a %% that begins neither %%25 nor %%2C")
		}
	}

	return values, nil
}

var keyUnescaper = strings.NewReplacer("%25", "%", "%2C", ",")
