package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// numbersOf are what the README says of the matrix, by the words around them.
var numbersOf = map[string]*regexp.Regexp{
	"of the bus":  regexp.MustCompile(`(\d+)\s+faults\s+are\s+of\s+the\s+bus`),
	"of Redis":    regexp.MustCompile(`(\d+)\s+of\s+a\s+Redis`),
	"of leases":   regexp.MustCompile(`(\d+)\s+of\s+leases`),
	"of sessions": regexp.MustCompile(`(\d+)\s+of\s+sessions`),
	"controls":    regexp.MustCompile(`There\s+are\s+(\d+)\.`),
}

// TestReadmeNumbers: README.md says how many faults and controls there are.
func TestReadmeNumbers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	tiers, locks, sessions := len(tierFaults()), len(lockFaults()), len(sessionFaults())
	for what, want := range map[string]int{
		"of the bus": len(faults()) - tiers - locks - sessions, "of Redis": tiers, "of leases": locks, "of sessions": sessions,
		"controls": len(controls()),
	} {
		found := numbersOf[what].FindStringSubmatch(string(text))
		require.NotNil(t, found, "the README says how many: %s", what)
		require.Equal(t, strconv.Itoa(want), found[1], what)
	}

	// They are those of the list.
	out, err := runFlags(t, "-list")
	require.NoError(t, err)
	require.Equal(t, len(faults())+len(controls()), strings.Count(strings.TrimSpace(out), "\n"), "one line each, and an empty one between")
}
