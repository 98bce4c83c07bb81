package cache

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// checkColumn returns an error if keys cannot be read from the texts of the column that they stand for.
func (c *Cache[K, V]) checkColumn() error {
	column := c.cfg.KeyColumn
	if column == "" || c.cfg.KeyString != nil {
		return nil // with a KeyString, its author decides
	}

	base, length, ok := splitColumn(column)
	sample, known := columnSample(base, reflect.TypeFor[K]())
	if !ok || !known {
		return fmt.Errorf("%w: KeyColumn: unknown type %q", ErrConfig, column)
	}
	if reflect.TypeFor[K]().Kind() == reflect.String {
		c.names.parse = stringParser[K](base, length)
	}

	var keys []K
	if err := protect("key's UnmarshalText", func() { keys = c.names.parse(sample) }); err != nil {
		return fmt.Errorf("%w: KeyColumn: %w", ErrConfig, err)
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: KeyColumn: keys of type %s cannot stand for a column of type %s, whose values look like %q",
			ErrConfig, reflect.TypeFor[K](), column, sample)
	}
	return nil
}

// splitColumn splits a type of a column from what is in parentheses behind it, of which it returns the first number:
// character(4), numeric(20,2).
func splitColumn(column string) (base string, length int, ok bool) {
	base, modifier, found := strings.Cut(column, "(")
	base = strings.TrimSpace(base)
	if !found {
		return base, 0, true
	}
	modifier, ok = strings.CutSuffix(modifier, ")")
	first, _, _ := strings.Cut(modifier, ",")
	length, err := strconv.Atoi(strings.TrimSpace(first))
	return base, length, ok && err == nil && length > 0
}

// stringParser returns what reads the texts of a column for keys that are strings.
func stringParser[K comparable](base string, length int) func(string) []K {
	switch base {
	case "bytea":
		return parseByteaStringKey[K]
	case "character", "char":
		return parsePaddedKey[K](max(length, 1)) // Postgres' default
	}
	return parseStringKey[K]
}

// columnSample returns the text of a value of a column type, the one that is easiest to read for keys of a type.
func columnSample(column string, key reflect.Type) (sample string, known bool) {
	digits := ""
	if key.Kind() == reflect.Array {
		digits = strings.Repeat("00", key.Len())
	}

	switch column {
	case "smallint", "integer", "bigint", "numeric", "oid":
		return "7", true
	case "text", "character varying", "varchar", "citext", "name":
		if digits != "" {
			return digits, true
		}
		return "7", true
	case "character", "char", "bpchar":
		if digits != "" {
			return digits, true
		}
		return "7  ", true
	case "bytea":
		return byteaPrefix + digits, true
	case "uuid":
		return "6ba7b810-9dad-11d1-80b4-00c04fd430c8", true
	case "boolean":
		return "t", true
	case "date":
		return "2026-01-31", true
	case "timestamp with time zone", "timestamptz", "timestamp without time zone", "timestamp":
		return "2026-01-31 12:00:00+00", true
	case "inet", "cidr":
		return "10.0.0.1/32", true
	}
	return "", false
}
