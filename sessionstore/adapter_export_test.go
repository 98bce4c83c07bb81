package sessionstore

import (
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// AdapterQueries lists the statements for adapters, for a test that prepares each one.
func AdapterQueries(schema string) (map[string]string, error) {
	entries, err := adapterFiles.ReadDir("adapter")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		all[strings.TrimSuffix(e.Name(), ".sql")] = sqltext.Load(adapterFiles, "adapter/"+e.Name(), schema)
	}
	return all, nil
}
