package watch

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// treeTable is a table of a tree of partitions, or a single one, with the triggers of ours on it.
type treeTable struct {
	quoted   string // as SQL has it
	name     string // as people read it
	triggers map[string]treeTrigger
}

type treeTrigger struct{ enabled, function, source string }

// tree is a table, first, and all its partitions and heirs.
type tree []*treeTable

func (i *Installer) readTree(ctx context.Context, tx pgx.Tx, oid uint32) (tree, error) {
	rows, err := tx.Query(ctx, i.sql.tree, oid)
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

// problems lists what is not as the definition wants it. None means that nothing is to be done.
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

// maxProblems is how many problems of a watch are listed one by one: a table may have thousands of partitions.
const maxProblems = 8

// readWatch returns a watch as it is found, with what keeps it from working.
func (i *Installer) readWatch(ctx context.Context, tx pgx.Tx, oid uint32, d *definition) (Watch, error) {
	table, err := i.readTable(ctx, tx, oid, d.Topic)
	if err != nil {
		return Watch{}, err
	}
	tree, err := i.readTree(ctx, tx, oid)
	if err != nil {
		return Watch{}, err
	}

	d.version = watchVersion
	problems := append(table.missing(d), tree.problems(i.schema, d)...)
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
