package bus

import (
	"context"
	"log/slog"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// Watch is a table whose changes invalidate keys of a topic, whichever program makes them. Package watch documents
// its fields.
type Watch = watch.Watch

// Announce says which pod announces the changes of a watched table, and when.
type Announce = watch.Announce

// The values of [Announce], which package watch documents.
const (
	AfterSweep    = watch.AfterSweep
	InTransaction = watch.InTransaction
)

// ErrInvalidWatch is returned when a table cannot be watched as requested. The text names the table, the column or
// the field.
var ErrInvalidWatch = watch.ErrInvalid

// ParseKey returns the values of the key columns in a key that [KeyOf] or a watched table has made. columns is how
// many there are. It is an error if the key does not have that form.
func ParseKey(key string, columns int) ([]string, error) { return watch.ParseKey(key, columns) }

// KeyOf returns the key of a row from the values of its key columns, as watch.KeyOf describes.
func KeyOf(values ...string) string { return watch.KeyOf(values...) }

// WatchTable installs triggers on a table. For every statement that changes rows, whoever executes it, they write an
// event to the log in the statement's transaction. Package watch says what triggers see and what they do not, and
// does the same without a bus. If the watch is installed already, the call changes nothing and takes no locks, so
// every pod can make it when it starts. See watch.Installer.Install for the role that it needs and the locks that it
// waits for. Run need not be running. The error is [ErrInvalidWatch], [ErrPrivilege], [ErrSchema], or an error of the
// database.
func (p *Postgres) WatchTable(ctx context.Context, w Watch) error {
	changed, err := p.watches.Install(ctx, w)
	if changed {
		p.log.InfoContext(ctx, "table watched", slog.String("table", w.Table), slog.String("topic", w.Topic))
	}
	return err
}

// UnwatchTable removes the triggers of a watch from a table and its partitions. It is a no-op if there is no such
// watch, and an error if there is no such table. If there are triggers to remove, it takes an ACCESS EXCLUSIVE lock
// on the table.
func (p *Postgres) UnwatchTable(ctx context.Context, table, topic string) error {
	return p.watches.Uninstall(ctx, table, topic)
}

// Watches returns the watches that are installed in the database, by any program, sorted by table. It needs only the
// right to read the table migration of the schema.
func (p *Postgres) Watches(ctx context.Context) ([]Watch, error) { return p.watches.List(ctx) }
