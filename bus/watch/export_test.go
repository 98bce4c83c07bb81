package watch

// Queries lists the embedded statements by name, for a test that prepares each one.
func Queries(schema string) map[string]string {
	q := loadQueries(schema)
	return map[string]string{"find": q.find, "orphans": q.orphans, "relation": q.relation, "roots": q.roots, "tree": q.tree}
}

// QueryFiles is how many statements are embedded.
func QueryFiles() (int, error) {
	entries, err := queryFiles.ReadDir("query")
	return len(entries), err
}
