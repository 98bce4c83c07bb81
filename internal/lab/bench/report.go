package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// figure is one measured quantity.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	summary
	Rounds []float64 `json:"rounds,omitempty"` // in order of time
}

func newFigure(name, unit string, rounds []float64) figure {
	return figure{Name: name, Unit: unit, summary: summarize(rounds), Rounds: rounds}
}

// result is a figure that somebody has set a goal for.
type result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// report is all that one command found out.
type report struct {
	Command     string         `json:"command"`
	Typed       string         `json:"typed,omitempty"`   // the whole command, as it can be typed again
	Seconds     float64        `json:"seconds,omitempty"` // that it took
	Parts       []string       `json:"parts,omitempty"`   // that were measured, of a measurement that has some
	Environment environment    `json:"environment"`
	Parameters  map[string]any `json:"parameters"`
	Figures     []figure       `json:"figures"`
	Counts      map[string]any `json:"counts,omitempty"`
	Results     []result       `json:"results"`
	Charts      []chart        `json:"charts,omitempty"`
	Table       [][]string     `json:"table,omitempty"` // of rows, once it is written

	rows [][]any // the table's, the header first
}

func (r *report) row(cells ...any) { r.rows = append(r.rows, cells) }
func (r *report) add(f figure)     { r.Figures = append(r.Figures, f) }
func (r *report) result(name string, value float64) {
	r.Results = append(r.Results, result{name, value})
}

// cells are the table's, as text.
func (r *report) cells() [][]string {
	if len(r.rows) == 0 {
		return r.Table
	}
	out := make([][]string, len(r.rows))
	for i, row := range r.rows {
		for _, cell := range row {
			out[i] = append(out[i], fmt.Sprint(cell))
		}
	}
	return out
}

// MarshalJSON adds the table.
func (r *report) MarshalJSON() ([]byte, error) {
	type plain report // without this method
	written := *r
	written.Table = r.cells()
	return json.Marshal((*plain)(&written))
}

func (r *report) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s\n\n", r.Environment); err != nil {
		return err
	}
	if err := printTable(out, r.cells()); err != nil {
		return err
	}

	for _, name := range sortedKeys(r.Counts) {
		if _, err := fmt.Fprintf(out, "\n%s: %v", name, r.Counts[name]); err != nil {
			return err
		}
	}

	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}

	for _, one := range r.Results {
		if _, err := fmt.Fprintf(out, "RESULT %s %s\n", one.Name, number(one.Value)); err != nil {
			return err
		}
	}

	return nil
}

// printTable writes rows in columns.
func printTable(out io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		for _, cell := range row {
			fmt.Fprintf(table, "%s\t", cell) // an error comes back from Flush
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// number writes three digits or more: 0.882, 22.1, 9774.
func number(v float64) string {
	digits := 3
	switch abs := math.Abs(v); {
	case abs >= 100:
		digits = 0
	case abs >= 10:
		digits = 1
	case abs >= 1:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// spread is a summary as a cell of the table.
func (s summary) String() string {
	return fmt.Sprintf("%s (%s–%s)", number(s.Value), number(s.Min), number(s.Max))
}
