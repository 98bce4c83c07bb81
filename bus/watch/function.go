package watch

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/naming"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// definition is a watch as its trigger function carries it in its first line.
type definition struct {
	Topic    string   `json:"topic"`
	Key      []string `json:"key,omitempty"`
	All      bool     `json:"all,omitempty"`
	MaxKeys  int      `json:"max_keys,omitempty"`
	Announce Announce `json:"announce"`

	version int // of the function's text
}

// watchVersion is raised with every change of what source writes. Install brings older functions up to date and
// leaves newer ones, so that pods of two versions do not take turns.
const watchVersion = 1

const watchMark = "-- pgcoherence watch "

func (d *definition) header() string {
	text, _ := json.Marshal(d) // always encodes, without line breaks
	return watchMark + strconv.Itoa(d.version) + " " + string(text) + "\n"
}

// parseDefinition reads the first line of a trigger function.
func parseDefinition(source string) (*definition, error) {
	line, _, _ := strings.Cut(strings.TrimPrefix(source, watchMark), "\n")
	version, text, _ := strings.Cut(line, " ")
	var d definition
	var err error
	if d.version, err = strconv.Atoi(version); err == nil {
		err = json.Unmarshal([]byte(text), &d)
	}
	if err != nil {
		return nil, fmt.Errorf("watch: function of a watch begins with %.100q: %w", source, err)
	}
	return &d, nil
}

// runs reports whether a function's source does what the definition says.
func (d *definition) runs(schema, source string) bool {
	if !strings.HasPrefix(source, watchMark) {
		return false
	}
	there, err := parseDefinition(source)
	if err == nil && there.version > d.version {
		return there.Topic == d.Topic && slices.Equal(there.Key, d.Key) && there.All == d.All && there.MaxKeys == d.MaxKeys &&
			there.Announce == d.Announce
	}
	return source == d.source(schema)
}

// source is the body of the trigger function. It is written for each watch, because a statement that is put together
// when the trigger fires has to be planned each time: 33 µs against 100 µs for an update of one row.
func (d *definition) source(schema string) string {
	topic := literal(d.Topic)
	var b strings.Builder
	b.WriteString(d.header())

	b.WriteString(`DECLARE
    touched   boolean := true;
    found     text[] := '{}';
    all_of_it boolean := true;
BEGIN
`)

	if d.All {
		b.WriteString(`    IF TG_OP = 'DELETE' THEN
        touched := EXISTS (SELECT FROM old_rows);
    ELSIF TG_OP <> 'TRUNCATE' THEN
        touched := EXISTS (SELECT FROM new_rows);
    END IF;
`)
	} else {
		before, after := keySQL(d.Key)+" AS key FROM old_rows AS r", keySQL(d.Key)+" AS key FROM new_rows AS r"
		b.WriteString(`    BEGIN
        IF TG_OP = 'INSERT' THEN
` + d.collect("SELECT DISTINCT "+after) + `        ELSIF TG_OP = 'UPDATE' THEN
` + d.collect("SELECT "+before+" UNION SELECT "+after) + `        ELSIF TG_OP = 'DELETE' THEN
` + d.collect("SELECT DISTINCT "+before) + `        END IF;
    EXCEPTION WHEN OTHERS THEN
        -- Somebody else's write must not fail because a column of the key is gone.
        RAISE WARNING 'pgcoherence: watch of table %: %: all of topic % is invalidated', TG_RELID::regclass, SQLERRM, ` + topic + `;
        touched := true;
        all_of_it := true;
    END;
`)
	}

	b.WriteString(`    IF NOT touched THEN
        RETURN NULL;
    END IF;
`)
	b.WriteString(`    INSERT INTO ` + sqltext.Quote(schema) + `.event (topic, keys, whole)
    VALUES (` + topic + `, CASE WHEN all_of_it THEN '{}' ELSE found END, all_of_it);
`)

	if d.Announce == InTransaction {
		// No version of a payload is called 0, so every pod, of whatever version, reads the difference. All these of one
		// transaction are one notification.
		b.WriteString(`    PERFORM pg_notify(` + literal(naming.Channel(schema)) + `, '0 watch');
`)
	}

	b.WriteString(`    RETURN NULL;
END`)
	return b.String()
}

// collect is the statement that gathers the keys of some rows: too many, one that is null or one that is too long make
// it the whole topic. One more than may be is enough to know that they are too many.
func (d *definition) collect(rows string) string {
	return fmt.Sprintf(`            SELECT count(*) > 0, array_agg(k.key), count(*) > %d OR coalesce(bool_or(k.key IS NULL OR octet_length(k.key) > %d), false)
            INTO touched, found, all_of_it
            FROM (%s LIMIT %d) AS k;
`, d.MaxKeys, naming.MaxKeyLen, rows, d.MaxKeys+1)
}

// create is the statement that makes or replaces the trigger function. Whatever the writer's session has set, the keys
// are the same text; and a plan made for a statement of a million rows must not have later ones compiled.
func (d *definition) create(schema, name string) string {
	return `CREATE OR REPLACE FUNCTION ` + name + `() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET jit = off
    SET datestyle = 'ISO, MDY' SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1
AS ` + literal(d.source(schema))
}

// events are what triggers fire on, each with its part of the trigger's definition.
var watchEvents = []struct{ name, transition string }{
	{"insert", "REFERENCING NEW TABLE AS new_rows "},
	{"update", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "},
	{"delete", "REFERENCING OLD TABLE AS old_rows "},
	{"truncate", ""},
}

// triggerName names the trigger of a topic and an event on whatever table: at most 58 bytes.
func triggerName(schema, topic, event string) string {
	return "pgcoherence_" + readable(topic) + hash(schema, topic) + "_" + event
}

// functionName names the function of a topic and a table: at most 44 bytes.
func functionName(topic string, table uint32) string {
	return "watch_" + readable(topic) + hash(strconv.FormatUint(uint64(table), 10), topic)
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return fmt.Sprintf("%x", sum[:6])
}

// readable is as much of a topic as fits into a name and can be recognised.
func readable(topic string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, topic)
	if plain == "" {
		return ""
	}
	return plain[:min(len(plain), 24)] + "_"
}

// literal is an SQL string constant, whatever standard_conforming_strings says.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
