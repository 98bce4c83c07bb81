package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// Where the figures of a checkout are, and what is written from them.
const (
	figuresFile     = "docs/performance.json"
	performanceFile = "docs/performance.md"
	imagesDirectory = "docs/images/performance"
	readmeFile      = "README.md"
)

// Between these lines the README is written by this program.
const (
	figuresBegin = "<!-- figures: go run -C internal/lab/bench . report -docs ../../.. ../../../docs/performance.json -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

var (
	//go:embed docs_performance.tmpl
	performanceTemplate string

	//go:embed docs_readme.tmpl
	readmeTemplate string
)

// writeDocs writes what the documentation of a checkout says in figures, and the
// figures themselves.
func writeDocs(root string, all *run) error {
	pages, err := all.pages(root)
	if err != nil {
		return err
	}

	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("docs: %w", err)
		}
	}

	images := filepath.Join(root, imagesDirectory)
	if err := os.RemoveAll(images); err != nil { // there may be pictures that no report has any more
		return fmt.Errorf("docs: %w", err)
	}
	if err := all.drawSVG(images); err != nil {
		return fmt.Errorf("docs: %w", err)
	}

	return writeJSON(filepath.Join(root, figuresFile), all)
}

// drawSVG draws the charts of all reports into a directory.
func (a *run) drawSVG(directory string) error {
	for _, r := range a.Reports {
		for _, c := range r.Charts {
			if err := c.saveSVG(directory); err != nil {
				return err
			}
		}
	}
	return nil
}

// pages are the texts that have figures in them, by file.
func (a *run) pages(root string) (map[string]string, error) {
	performance, err := a.fill(performanceTemplate)
	if err != nil {
		return nil, err
	}

	block, err := a.fill(readmeTemplate)
	if err != nil {
		return nil, err
	}

	readme, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}

	before, rest, begins := strings.Cut(string(readme), figuresBegin)
	_, after, ends := strings.Cut(rest, figuresEnd)
	if !begins || !ends {
		return nil, errors.New("docs: the README has no place for figures")
	}

	return map[string]string{
		performanceFile: performance,
		readmeFile:      before + figuresBegin + block + figuresEnd + after,
	}, nil
}

// fill executes a template. What it asks for and is not there is an error: a page
// with holes is worse than none.
func (a *run) fill(text string) (string, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"run":      func() *run { return a },
		"day":      func(r *report) string { return r.Environment.Date.Format("2006-01-02") },
		"typed":    func(r *report) string { return strings.ReplaceAll(r.Typed, "bench ", "") },
		"load":     (*report).load,
		"left":     a.left,
		"value":    a.value,
		"number":   number,
		"whole":    func(v float64) string { return thousands(v) },
		"ratio":    a.ratioOf,
		"table":    a.tableOf,
		"chart":    a.chartOf,
		"verdicts": a.verdicts,
		"targets":  a.reached,
		"missed":   a.missed,
		"count":    a.countOf,
		"faults":   func() map[string]string { return a.countsOf("stale", "fault ") },
		"setups":   func() map[string]string { return a.countsOf("stale", "set-up of ") },
		"versions": func() string {
			var parts []string
			for _, name := range sortedNames(a.Versions) {
				parts = append(parts, name+" "+a.Versions[name])
			}
			return strings.Join(parts, ", ")
		},
	}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("docs: %w", err)
	}

	var out bytes.Buffer
	if err := t.Execute(&out, nil); err != nil {
		return "", fmt.Errorf("docs: %w", err)
	}

	return out.String(), nil
}

// value is that of a figure or a result.
func (a *run) value(name string) (float64, error) {
	if f, ok := a.figure(name); ok {
		return f.Value, nil
	}
	if v, ok := a.result(name); ok {
		return v, nil
	}
	return 0, fmt.Errorf("no figure is called %s", name)
}

func (a *run) ratioOf(name, base string) (float64, error) {
	v, err := a.value(name)
	if err != nil {
		return 0, err
	}
	by, err := a.value(base)
	if err == nil && by == 0 {
		err = fmt.Errorf("%s is nothing", base)
	}
	return v / by, err
}

// tableOf is a part of a report's table: those are separated by empty rows, and
// count from 0. A column's title and a value leave only the rows that have it.
func (a *run) tableOf(command string, part int, filter ...string) (string, error) {
	r := a.report(command)
	if r == nil {
		return "", fmt.Errorf("no report of %s", command)
	}

	parts := splitTable(r.cells())
	if part >= len(parts) {
		return "", fmt.Errorf("the table of %s has %d parts", command, len(parts))
	}

	rows := parts[part]
	for i := 0; i+1 < len(filter); i += 2 {
		rows = rowsWith(rows, filter[i], filter[i+1])
	}

	if len(rows) < 2 {
		return "", fmt.Errorf("the table of %s has no rows with %v", command, filter)
	}

	return markdownTable(rows), nil
}

// splitTable cuts rows at the empty ones.
func splitTable(rows [][]string) (parts [][][]string) {
	for begin := true; len(rows) > 0; rows = rows[1:] {
		if len(rows[0]) == 0 {
			begin = true
			continue
		}
		if begin {
			parts, begin = append(parts, nil), false
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], rows[0])
	}
	return parts
}

// rowsWith are the header and the rows that have a value in a column; the column is left out.
func rowsWith(rows [][]string, title, value string) (out [][]string) {
	column := -1
	for i, cell := range rows[0] {
		if cell == title {
			column = i
		}
	}

	if column < 0 {
		return nil
	}

	for i, row := range rows {
		if i == 0 || row[column] == value {
			out = append(out, append(append([]string{}, row[:column]...), row[column+1:]...))
		}
	}

	return out
}

// countOf is a count of a report.
func (a *run) countOf(command, name string) (string, error) {
	if r := a.report(command); r != nil {
		if v, ok := r.Counts[name]; ok {
			return fmt.Sprint(v), nil
		}
	}
	return "", fmt.Errorf("the report of %s has no count of %s", command, name)
}

// load is that of the machine in the last minute of the measurement.
func (r *report) load() string {
	load, _, ok := strings.Cut(fmt.Sprint(r.Counts[loadCount]), " ")
	if !ok {
		return "unknown"
	}
	return load
}

// left are what measurements could not do on the machine, and why.
func (a *run) left() (all []string) {
	for _, r := range a.Reports {
		for _, name := range sortedKeys(r.Counts) {
			if what, ok := strings.CutSuffix(name, " left out"); ok {
				all = append(all, fmt.Sprintf("%s of %s (%v)", what, r.Command, r.Counts[name]))
			}
		}
	}
	return all
}

// countsOf are the counts of a report whose names begin alike, without the beginning.
func (a *run) countsOf(command, prefix string) map[string]string {
	found := map[string]string{}
	if r := a.report(command); r != nil {
		for name, v := range r.Counts {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				found[rest] = fmt.Sprint(v)
			}
		}
	}
	return found
}

// chartOf shows a picture.
func (a *run) chartOf(name string) (string, error) {
	for _, r := range a.Reports {
		for _, c := range r.Charts {
			if c.Name == name {
				return fmt.Sprintf("![%s](images/performance/%s.svg)", c.Title, name), nil
			}
		}
	}
	return "", fmt.Errorf("no chart is called %s", name)
}

// thousands writes a whole number: 9,774.
func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
