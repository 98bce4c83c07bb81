package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSettingsAreTheBusOwn finds the planner's settings in the source of the
// bus, which shows them to nobody.
func TestSettingsAreTheBusOwn(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "..", "..", "bus", "session.go"))
	require.NoError(t, err)
	for setting := range strings.SplitSeq(sessionSettings, "; ") {
		name, value, _ := strings.Cut(strings.TrimPrefix(setting, "SET "), " = ")
		if strings.HasPrefix(name, "enable_") { // the others are those of every connection of the library
			require.Contains(t, string(source), `{Name: "`+name+`", Value: "`+value+`"}`)
		}
	}
	// And the other way round: one more there is one more here.
	require.Equal(t, strings.Count(string(source), `Name: "enable_`), strings.Count(sessionSettings, "SET enable_"))
}

// The statement is the bus' own, wherever the command runs.
func TestDifferenceSQL_FromAnyFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	text, err := differenceSQL("other")
	require.NoError(t, err)
	require.Contains(t, text, `"other".event`)
	require.NotContains(t, text, "/*schema*/")
}

func TestScans(t *testing.T) {
	t.Parallel()
	plan := planNode{Type: "Append", Plans: []planNode{
		{Type: "Index Scan", Relation: "event"},
		{Type: "Limit", Plans: []planNode{{Type: "Seq Scan", Relation: "event"}, {Type: "Index Scan", Relation: "event"}}},
		{Type: "Seq Scan", Relation: "epoch"},
	}}
	require.Equal(t, []string{"Index Scan", "Seq Scan"}, plan.scans("event", nil))
}
