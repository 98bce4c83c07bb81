// Package sqltext loads SQL statements from files beside the code that runs them.
//
// A file holds one statement (a migration: several) and is valid SQL as it is: it spells the schema
// /*schema*/pgcoherence, and loading puts the configured schema there, quoted.
package sqltext

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

const placeholder = "/*schema*/pgcoherence"

// MaxSchema is the longest schema name in bytes: Postgres cuts identifiers at 63, and the notification channel is
// named after the schema.
const MaxSchema = 48

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// CheckSchema returns an error unless a schema name is a lower-case identifier that needs no quotes.
// Names are still quoted wherever they enter SQL.
func CheckSchema(name string) error {
	if !schemaName.MatchString(name) || len(name) > MaxSchema || strings.HasPrefix(name, "pg_") {
		return fmt.Errorf("schema name %q: want at most %d of a-z, 0-9 and _, not beginning with a digit or pg_", name, MaxSchema)
	}
	return nil
}

// Quote returns a name as an SQL identifier.
func Quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// AdvisoryLock takes the lock under which a schema changes, until the end of the transaction. $1 is its LockName.
const AdvisoryLock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

// LockName returns the name of the lock under which a schema changes.
func LockName(schema string) string { return "pgcoherence:" + schema }

// Load returns the statement of a file as it is sent: with the schema, on one line and without comments. It panics if the
// file is not embedded: that is a mistake of the programmer, and every file is loaded by a test.
func Load(files fs.FS, path, schema string) string {
	return Compact(LoadScript(files, path, schema))
}

// LoadScript returns the text of a file with the schema, its comments included, for migrations, which people also run by
// hand. It panics if the file is not embedded.
func LoadScript(files fs.FS, path, schema string) string {
	text, err := fs.ReadFile(files, path)
	if err != nil {
		panic(err)
	}
	return Render(string(text), schema)
}

// Render puts the schema into a statement.
func Render(text, schema string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), placeholder, Quote(schema))
}
