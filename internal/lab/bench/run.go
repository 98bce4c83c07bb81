package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// run is what several measurements found out, and what they were measured on.
// It is what bench all writes, and what reports are generated from.
type run struct {
	Command  string            `json:"command"` // as it can be typed again; that of each piece, with semicolons between
	Date     time.Time         `json:"date"`    // of the last measurement
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Reports  []*report         `json:"reports"`
}

// readRun reads a file of -json, of bench all or of a single measurement.
func readRun(file string) (*run, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	var all run
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("run: %s: %w", file, err)
	}
	if len(all.Reports) > 0 {
		return &all, nil
	}

	var one report
	if err := json.Unmarshal(text, &one); err != nil {
		return nil, fmt.Errorf("run: %s: %w", file, err)
	}
	if one.Command == "" || len(one.Figures)+len(one.Results) == 0 {
		return nil, fmt.Errorf("run: %s has no reports", file)
	}
	return &run{Date: one.Environment.Date, Reports: []*report{&one}}, nil
}

// mergeRuns puts the reports of several files together, in the order of bench
// all. Of two reports of the same measurement the later file's counts, unless they are of different parts.
func mergeRuns(files []string) (*run, error) {
	merged := &run{Versions: map[string]string{}}
	for _, file := range files {
		next, err := readRun(file)
		if err != nil {
			return nil, err
		}
		if err := merged.add(next); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	merged.sort()
	return merged, nil
}

// add takes over the reports of a run. It refuses one of another machine:
// figures of two machines do not belong into one table.
func (a *run) add(next *run) error {
	if a.Machine != (machine{}) && next.Machine != (machine{}) && a.Machine != next.Machine {
		return fmt.Errorf("measured on %s, and the files before on %s", next.Machine, a.Machine)
	}
	if next.Machine != (machine{}) {
		a.Machine = next.Machine
	}
	for name, version := range next.Versions {
		a.Versions[name] = version
	}
	if a.Date.Before(next.Date) {
		a.Date = next.Date
	}
	switch {
	case a.Command == "" || next.Command == "":
		a.Command += next.Command
	case !slices.Contains(strings.Split(a.Command, "; "), next.Command):
		a.Command += "; " + next.Command
	}

	for _, r := range next.Reports {
		if i := slices.IndexFunc(a.Reports, func(old *report) bool { return old.Command == r.Command }); i >= 0 {
			a.Reports[i] = a.Reports[i].followedBy(r)
		} else {
			a.Reports = append(a.Reports, r)
		}
	}
	return nil
}

// followedBy is a later report of the same measurement: together with this one, if they are of different parts.
func (r *report) followedBy(later *report) *report {
	if len(r.Parts) == 0 || len(later.Parts) == 0 || slices.ContainsFunc(later.Parts, func(p string) bool { return slices.Contains(r.Parts, p) }) {
		return later
	}

	both := *later
	both.Typed = r.Typed + "; " + later.Typed
	both.Seconds += r.Seconds
	both.Parts = slices.Concat(r.Parts, later.Parts)
	both.Figures = slices.Concat(r.Figures, later.Figures)
	both.Results = slices.Concat(r.Results, later.Results)
	both.Counts = maps.Clone(r.Counts)
	maps.Copy(both.Counts, later.Counts)

	both.Table, both.rows = slices.Clone(r.cells()), nil
	if rows := later.cells(); len(rows) > 0 {
		both.Table = append(both.Table, rows[1:]...)
	}

	both.Charts = slices.Clone(r.Charts)
	for _, c := range later.Charts {
		both.Charts = addLines(both.Charts, c)
	}

	return &both
}

// addLines adds the lines of a chart to those of the chart of the same name.
func addLines(charts []chart, more chart) []chart {
	at := slices.IndexFunc(charts, func(c chart) bool { return c.Name == more.Name })
	if at < 0 || len(charts[at].Panels) != len(more.Panels) {
		return append(charts, more)
	}

	panels := slices.Clone(charts[at].Panels)
	for i := range panels {
		panels[i].Lines = slices.Concat(panels[i].Lines, more.Panels[i].Lines)
	}

	charts[at].Panels = panels
	return charts
}

// sort brings the reports into the order of bench all.
func (a *run) sort() {
	var order []string
	for _, c := range measurements(new(options)) {
		order = append(order, c.Name())
	}
	slices.SortStableFunc(a.Reports, func(x, y *report) int {
		return slices.Index(order, x.Command) - slices.Index(order, y.Command)
	})
}

// report is the report of a measurement, or nil.
func (a *run) report(command string) *report {
	for _, r := range a.Reports {
		if r.Command == command {
			return r
		}
	}
	return nil
}

// figure finds a figure by its name in all reports.
func (a *run) figure(name string) (figure, bool) {
	for _, r := range a.Reports {
		for _, f := range r.Figures {
			if f.Name == name {
				return f, true
			}
		}
	}
	return figure{}, false
}

// result finds a result by its name in all reports.
func (a *run) result(name string) (float64, bool) {
	for _, r := range a.Reports {
		for _, one := range r.Results {
			if one.Name == name {
				return one.Value, true
			}
		}
	}
	return 0, false
}

// describe is what was measured on, in a few words.
func (a *run) describe() string {
	var versions []string
	for _, name := range []string{"Postgres", "Redis", "etcd", "Go"} {
		if v := a.Versions[name]; v != "" {
			versions = append(versions, name+" "+v)
		}
	}
	return fmt.Sprintf("%s, %s", a.Machine, strings.Join(versions, ", "))
}

// writeJSON writes a file that people can read, too.
func writeJSON(file string, content any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(content)
	if err == nil {
		err = os.WriteFile(file, text.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
