package docs

import (
	"regexp"
	"strings"
)

var tableRule = regexp.MustCompile(`^\s*\|(?:\s*:?-+:?\s*\|)+\s*$`)

// CheckTables returns the rows of tables that have more or fewer cells than the header: GitHub cuts off the rest. A
// bar within code separates cells too, unless a backslash precedes it.
func CheckTables(path string, source []byte) []Problem {
	var problems []Problem
	var before string
	columns, fenced, number := 0, false, 0
	for line := range strings.Lines(string(source)) {
		number++
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}

		switch {
		case fenced || !strings.HasPrefix(strings.TrimSpace(line), "|"):
			columns = 0
		case tableRule.MatchString(line):
			columns = cells(before)
			fallthrough
		case columns > 0:
			if cells(line) != columns {
				problems = append(problems, Problem{path, number, "table row has a different number of cells than the header"})
			}
		}

		before = line
	}

	return problems
}

// cells returns how many cells a row has.
func cells(row string) int {
	return strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") - 1
}
