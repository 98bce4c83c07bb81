package bus

import (
	"context"
	"log/slog"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// Watch is a table whose changes invalidate keys of a topic, whoever makes them: psql, another language, a migration, a
// cascade. Package watch documents its fields.
type Watch = watch.Watch

// Announce is who announces the changes of a watched table to the pods, and when.
type Announce = watch.Announce

// The ways to announce the changes of a watched table, as package watch documents them.
const (
	AfterSweep    = watch.AfterSweep
	InTransaction = watch.InTransaction
)

// ErrInvalidWatch: a table cannot be watched as asked; the text names the table, the column or the field.
var ErrInvalidWatch = watch.ErrInvalid

// ParseKey returns the values of so many key columns of a key that KeyOf or a watched table made.
func ParseKey(key string, columns int) ([]string, error) { return watch.ParseKey(key, columns) }

// KeyOf returns the key of a row by the values of its key columns, as [watch.KeyOf] describes.
func KeyOf(values ...string) string { return watch.KeyOf(values...) }

// WatchTable puts triggers on a table that write an event to the log in the transaction of every statement that changes
// rows of it, whoever runs the statement. Package watch says what they see and what they do not, and does the same
// without a bus. Calling it again with the same watch changes nothing and locks nothing, so every pod can do so when it
// starts; see [watch.Installer.Install] for the role that it needs and what it waits for. Run need not be running. The
// error is ErrInvalidWatch, ErrPrivilege or ErrSchema, or the database's.
func (p *Postgres) WatchTable(ctx context.Context, w Watch) error {
	changed, err := p.watches.Install(ctx, w)
	if changed {
		p.log.InfoContext(ctx, "table watched", slog.String("table", w.Table), slog.String("topic", w.Topic))
	}
	return err
}

// UnwatchTable takes the triggers of a watch off a table and its partitions. It is a no-op if there is no such watch,
// and an error if there is no such table. It takes an ACCESS EXCLUSIVE lock of the table if there is something to take
// off.
func (p *Postgres) UnwatchTable(ctx context.Context, table, topic string) error {
	return p.watches.Uninstall(ctx, table, topic)
}

// Watches returns what is installed in the database, by table, whichever program put it there. It needs no right but to
// read the table migration of our schema.
func (p *Postgres) Watches(ctx context.Context) ([]Watch, error) { return p.watches.List(ctx) }
