package bus

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// treeTable is a table of a tree of partitions, or one that stands alone, with the triggers of ours on it.
type treeTable struct {
	quoted   string // as SQL has it
	name     string // as people read it
	triggers map[string]treeTrigger
}

type treeTrigger struct{ enabled, function, source string }

// tree is a table, first, and all its partitions and heirs.
type tree []*treeTable

func (p *Postgres) readTree(ctx context.Context, tx pgx.Tx, oid uint32) (tree, error) {
	rows, err := tx.Query(ctx, p.sql.watchTree, oid)
	if err != nil {
		return nil, err
	}
	var all tree
	var schema, name string
	var trigger, enabled, function, source *string
	_, err = pgx.ForEachRow(rows, []any{&schema, &name, &trigger, &enabled, &function, &source}, func() error {
		quoted := pgx.Identifier{schema, name}.Sanitize()
		if len(all) == 0 || all[len(all)-1].quoted != quoted {
			all = append(all, &treeTable{quoted: quoted, name: schema + "." + name, triggers: make(map[string]treeTrigger)})
		}
		if trigger != nil {
			all[len(all)-1].triggers[*trigger] = treeTrigger{*enabled, *function, *source}
		}
		return nil
	})
	return all, err
}

// problems lists what is not as the definition wants it; none: nothing is to be done.
func (t tree) problems(schema string, d *definition) (problems []string) {
	for _, table := range t {
		for _, event := range watchEvents {
			trigger, ok := table.triggers[triggerName(schema, d.Topic, event.name)]
			what := fmt.Sprintf("trigger for %s on %q", event.name, table.name)
			switch {
			case !ok:
				problems = append(problems, what+" is missing")
			case trigger.enabled == "D":
				problems = append(problems, what+" is disabled")
			case trigger.enabled != "A":
				problems = append(problems, what+" is not enabled always")
			case !d.runs(schema, trigger.source):
				problems = append(problems, what+" calls a function that another definition or version made")
			}
		}
	}
	return problems
}

// maxProblems is how many problems of a watch are told one by one: a table may have thousands of partitions.
const maxProblems = 8

// installed is a watch as it is found, and what keeps it from working.
func (p *Postgres) installed(ctx context.Context, tx pgx.Tx, oid uint32, d *definition) (Watch, error) {
	table, err := p.readTable(ctx, tx, oid, d.Topic)
	if err != nil {
		return Watch{}, err
	}
	tree, err := p.readTree(ctx, tx, oid)
	if err != nil {
		return Watch{}, err
	}
	d.version = watchVersion
	problems := append(table.missing(d), tree.problems(p.cfg.Schema, d)...)
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	broken := ""
	if len(problems) > 0 {
		broken = fmt.Sprintf("table %v: %s", table, strings.Join(problems, "; "))
	}
	return Watch{
		Table: table.schema + "." + table.name, Topic: d.Topic, Key: d.Key, All: d.All, MaxKeys: d.MaxKeys, Announce: d.Announce,
		Broken: broken,
	}, nil
}

// lockWatches makes watches of this schema change one after the other, and not while somebody migrates.
func (p *Postgres) lockWatches(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "pgcoherence:"+p.cfg.Schema)
	return err
}

// install makes the function and all triggers, whatever is there: none of it hurts twice.
func (p *Postgres) install(ctx context.Context, tx pgx.Tx, table *watchedTable, t tree, d *definition) error {
	function := sqltext.Quote(p.cfg.Schema) + "." + sqltext.Quote(functionName(d.Topic, table.oid))
	statements := []string{
		d.create(p.cfg.Schema, function),
		// A trigger's function runs for everybody. But nobody else should make triggers of it: it has our owner's rights.
		"REVOKE ALL ON FUNCTION " + function + "() FROM PUBLIC",
	}
	for _, part := range t {
		for _, event := range watchEvents {
			name := sqltext.Quote(triggerName(p.cfg.Schema, d.Topic, event.name))
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
	// What was changed before, no trigger has told of. Writers wait for this transaction, so nothing falls between.
	if _, err := tx.Exec(ctx, "SELECT "+sqltext.Quote(p.cfg.Schema)+".invalidate_all("+literal(d.Topic)+")"); err != nil {
		return err
	}
	return p.dropOrphans(ctx, tx)
}

// uninstall drops the triggers of a topic from a table and its parts.
func (p *Postgres) uninstall(ctx context.Context, tx pgx.Tx, t tree, topic string) error {
	found := false
	for _, table := range t {
		for _, event := range watchEvents {
			name := triggerName(p.cfg.Schema, topic, event.name)
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
	return p.dropOrphans(ctx, tx)
}

// dropOrphans drops trigger functions that nothing calls, also those that DROP TABLE left behind.
func (p *Postgres) dropOrphans(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, p.sql.watchOrphans)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := tx.Exec(ctx, "DROP FUNCTION "+sqltext.Quote(p.cfg.Schema)+"."+sqltext.Quote(name)+"()"); err != nil {
			return err
		}
	}
	return nil
}
