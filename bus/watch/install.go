package watch

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// install makes the function and all triggers, whatever is there: none of it hurts twice.
func (i *Installer) install(ctx context.Context, tx pgx.Tx, table *watchedTable, t tree, d *definition) error {
	function := sqltext.Quote(i.schema) + "." + sqltext.Quote(functionName(d.Topic, table.oid))
	statements := []string{
		d.create(i.schema, function),
		// A trigger's function runs for everybody. But no other role may make triggers of it: it has our owner's rights.
		"REVOKE ALL ON FUNCTION " + function + "() FROM PUBLIC",
	}

	for _, part := range t {
		for _, event := range watchEvents {
			name := sqltext.Quote(triggerName(i.schema, d.Topic, event.name))
			statements = append(statements,
				fmt.Sprintf("CREATE OR REPLACE TRIGGER %s AFTER %s ON %s %sFOR EACH STATEMENT EXECUTE FUNCTION %s()",
					name, event.name, part.quoted, event.transition, function),
				// Cached copies are as wrong after what was written with session_replication_role = replica.
				fmt.Sprintf("ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %s", part.quoted, name))
		}
	}

	statements = append(statements, "ALTER FUNCTION "+function+"() OWNER TO "+sqltext.Quote(table.logOwner))
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("table %v: %w", table, err)
		}
	}

	// What was changed before, no trigger has seen. Writers wait for this transaction, so nothing falls between.
	if _, err := tx.Exec(ctx, "SELECT "+sqltext.Quote(i.schema)+".invalidate_all("+literal(d.Topic)+")"); err != nil {
		return err
	}
	return i.dropOrphans(ctx, tx)
}

// uninstall drops the triggers of a topic from a table and its parts.
func (i *Installer) uninstall(ctx context.Context, tx pgx.Tx, t tree, topic string) error {
	found := false
	for _, table := range t {
		for _, event := range watchEvents {
			name := triggerName(i.schema, topic, event.name)
			if _, ok := table.triggers[name]; !ok {
				continue
			}

			found = true

			if _, err := tx.Exec(ctx, fmt.Sprintf("DROP TRIGGER %s ON %s", sqltext.Quote(name), table.quoted)); err != nil {
				return fmt.Errorf("table %q: %w", table.name, err)
			}
		}
	}

	if !found {
		return nil
	}

	return i.dropOrphans(ctx, tx)
}

// dropOrphans drops trigger functions that nothing calls, also those that DROP TABLE left behind.
func (i *Installer) dropOrphans(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, i.sql.orphans)
	if err != nil {
		return err
	}

	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}

	for _, name := range names {
		if _, err := tx.Exec(ctx, "DROP FUNCTION "+sqltext.Quote(i.schema)+"."+sqltext.Quote(name)+"()"); err != nil {
			return err
		}
	}

	return nil
}
