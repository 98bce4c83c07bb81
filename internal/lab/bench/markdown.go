package main

import (
	"fmt"
	"strings"
)

// markdown is all tables, with what they were measured on.
func (a *run) markdown() string {
	var text strings.Builder
	if a.Command != "" {
		fmt.Fprintf(&text, "`%s`, %s: %s.\n", a.Command, a.Date.Format("2006-01-02"), a.describe())
	}
	for _, r := range a.Reports {
		fmt.Fprintf(&text, "\n## %s\n\n%s", r.Command, r.markdown())
	}
	return text.String()
}

// markdown is the table, the counts and the results of a report.
func (r *report) markdown() string {
	var text strings.Builder
	text.WriteString(markdownTable(r.cells()))

	if len(r.Counts) > 0 {
		text.WriteString("\n")
		for _, name := range sortedKeys(r.Counts) {
			fmt.Fprintf(&text, "- %s: %v\n", name, r.Counts[name])
		}
	}

	if len(r.Results) > 0 {
		text.WriteString("\n")
		for _, one := range r.Results {
			fmt.Fprintf(&text, "- `%s` %s\n", one.Name, number(one.Value))
		}
	}

	return text.String()
}

// markdownTable writes rows, the first as the header. Columns of figures are
// aligned to the right.
func markdownTable(rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	columns := 0
	for _, row := range rows {
		columns = max(columns, len(row))
	}

	var text strings.Builder
	for i, row := range rows {
		text.WriteString("|")
		for c := range columns {
			cell := ""
			if c < len(row) {
				cell = strings.ReplaceAll(row[c], "|", "\\|")
			}
			text.WriteString(" " + cell + " |")
		}
		text.WriteString("\n")
		if i > 0 {
			continue
		}
		text.WriteString("|")
		for c := range columns {
			if numeric(rows[1:], c) {
				text.WriteString("--:|")
			} else {
				text.WriteString("---|")
			}
		}
		text.WriteString("\n")
	}
	return text.String()
}

// numeric reports whether most cells of a column begin with a digit.
func numeric(rows [][]string, column int) bool {
	digits := 0
	for _, row := range rows {
		if column < len(row) && row[column] != "" && strings.ContainsRune("0123456789-–", []rune(row[column])[0]) {
			digits++
		}
	}
	return 2*digits > len(rows)
}
