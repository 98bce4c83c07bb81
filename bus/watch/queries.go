package watch

import (
	"embed"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed query/*.sql
var queryFiles embed.FS

// queries are the statements of this package, rendered for one schema.
type queries struct{ find, orphans, relation, roots, tree string }

func loadQueries(schema string) *queries {
	load := func(name string) string { return sqltext.Load(queryFiles, "query/"+name+".sql", schema) }
	return &queries{find: load("find"), orphans: load("orphans"), relation: load("relation"), roots: load("roots"), tree: load("tree")}
}
