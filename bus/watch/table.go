package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// watchedTable is what the catalog says of a table.
type watchedTable struct {
	oid          uint32
	schema, name string
	kind         string // as in pg_class.relkind
	temporary    bool
	ours         bool     // in our own schema
	columns      []string // in their order
	virtual      []string // those of columns that are computed when they are read
	primary      []string
	owned        bool // by this role
	owner        string
	encoding     string
	create       bool // this role may make functions that belong to the log's owner
	logOwner     string
	partOf       *string // another table that is watched for the same topic
}

func (t *watchedTable) String() string { return fmt.Sprintf("%q", t.schema+"."+t.name) }

// findTable looks a table up by name, and returns an error if no role can watch it.
func (i *Installer) findTable(ctx context.Context, tx pgx.Tx, name, topic string) (*watchedTable, error) {
	rows, err := tx.Query(ctx, i.sql.find, name)
	if err != nil {
		return nil, err
	}

	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	switch {
	case err != nil:
		return nil, err
	case len(oids) == 0:
		return nil, invalid("table %q does not exist (names are taken as they are, upper case and all; "+
			"without a schema, only tables on the search path are found)", name)
	case len(oids) > 1:
		return nil, invalid("table %q: the name can mean %d tables", name, len(oids))
	}

	t, err := i.readTable(ctx, tx, oids[0], topic)
	if err == nil {
		err = t.suits()
	}

	return t, err
}

// readTable reads what the catalog says of a table.
func (i *Installer) readTable(ctx context.Context, tx pgx.Tx, oid uint32, topic string) (*watchedTable, error) {
	t := watchedTable{oid: oid}
	err := tx.QueryRow(ctx, i.sql.relation, oid, triggerName(i.schema, topic, "insert")).Scan(
		&t.schema, &t.name, &t.kind, &t.temporary, &t.ours, &t.columns, &t.virtual, &t.primary, &t.owned, &t.owner, &t.encoding,
		&t.create, &t.logOwner, &t.partOf)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, invalid("table with oid %d was dropped meanwhile", oid)
	}
	return &t, err
}

// suits returns why a table cannot be watched at all.
func (t *watchedTable) suits() error {
	switch t.kind {
	case "v":
		return invalid("%v is a view: watch the tables that it reads", t)
	case "m":
		return invalid("%v is a materialized view: invalidate the topic where it is refreshed", t)
	case "f":
		return invalid("%v is a foreign table: its rows change elsewhere", t)
	}

	switch {
	case t.temporary:
		return invalid("%v is a temporary table", t)
	case t.ours:
		return invalid("%v belongs to the bus", t)
	case t.encoding != "UTF8":
		return invalid("%v: the database's encoding is %s, keys must be UTF8", t, t.encoding)
	case t.partOf != nil:
		return invalid("%v is a part of %q, which is watched for this topic", t, *t.partOf)
	}

	return nil
}

// define completes a watch with what the table says.
func (t *watchedTable) define(w Watch) (*definition, error) {
	d := &definition{Topic: w.Topic, All: w.All, Announce: w.Announce, version: watchVersion}
	if w.All {
		return d, nil
	}

	d.Key, d.MaxKeys = slices.Clone(w.Key), w.MaxKeys
	if d.MaxKeys == 0 {
		d.MaxKeys = DefaultMaxKeys
	}
	if len(d.Key) == 0 {
		d.Key = t.primary
	}
	if len(d.Key) == 0 {
		return nil, invalid("%v has no primary key: name the columns of the Key, or set All", t)
	}
	if missing := t.missing(d); len(missing) > 0 {
		return nil, invalid("%v: %s (its columns are %s)", t, strings.Join(missing, ", "), strings.Join(t.columns, ", "))
	}

	return d, nil
}

// missing returns which columns of the key are not there, or of no use.
func (t *watchedTable) missing(d *definition) (problems []string) {
	for _, column := range d.Key {
		switch {
		case !slices.Contains(t.columns, column):
			problems = append(problems, fmt.Sprintf("column %q does not exist", column))
		case slices.Contains(t.virtual, column):
			problems = append(problems, fmt.Sprintf("column %q is virtual: triggers do not see it", column))
		}
	}
	return problems
}

// mayWatch returns which right the role lacks, in words instead of the first refusal of five statements.
func (t *watchedTable) mayWatch(schema string) error {
	if !t.owned {
		return fmt.Errorf("%w: watching %v takes its owner, %q, or a member of that role", ErrPrivilege, t, t.owner)
	}
	if !t.create {
		return fmt.Errorf("%w: watching %v takes the owner of schema %s, %q, or a member of that role, with CREATE on the schema",
			ErrPrivilege, t, sqltext.Quote(schema), t.logOwner)
	}
	return nil
}
