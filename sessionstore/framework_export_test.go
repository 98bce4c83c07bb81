package sessionstore

import (
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// FrameworkQueries lists the statements for adapters, for a test that prepares each one.
func FrameworkQueries(schema string) (map[string]string, error) {
	entries, err := frameworkFiles.ReadDir("framework")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		all[strings.TrimSuffix(e.Name(), ".sql")] = sqltext.Load(frameworkFiles, "framework/"+e.Name(), schema)
	}
	return all, nil
}
