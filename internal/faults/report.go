package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

var columns = []string{"fault", "reads checked", "stale within", "stale beyond", "lost", "false confirms", "Live again (ms)"}

func (r result) cells() []string {
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	return []string{
		r.name, n(r.tally.reads), n(r.tally.stale), n(r.tally.beyond), strconv.Itoa(r.lost), n(r.tally.falseConfirms),
		n(r.live.Milliseconds()),
	}
}

// table writes rows as they come.
type table struct {
	out      io.Writer
	markdown bool
	all      []result
}

func (t *table) head() {
	if t.markdown {
		fmt.Fprintln(t.out, "| "+strings.Join(columns, " | ")+" |")
		fmt.Fprintln(t.out, "|---|"+strings.Repeat("--:|", len(columns)-1))
		return
	}
	t.line(columns, "")
}

func (t *table) add(r result) {
	t.all = append(t.all, r)
	if t.markdown {
		fmt.Fprintln(t.out, "| "+strings.Join(r.cells(), " | ")+" |")
	} else {
		verdict := fmt.Sprintf("ok, %.1f s", r.took.Seconds())
		if !r.passed() {
			verdict = "FAILED"
		}
		t.line(r.cells(), verdict)
	}
}

// details is what a row has to say besides its figures.
func (t *table) details(w io.Writer, r result) {
	for _, n := range r.notes {
		fmt.Fprintf(w, "    %s: %s\n", r.name, n)
	}
	fmt.Fprintf(w, "    %s: oldest stale read %v\n", r.name, r.tally.worst.Round(time.Millisecond))
	for _, p := range r.proofs {
		fmt.Fprintf(w, "    %s: VIOLATION: %s\n", r.name, p)
	}
	if r.err != nil {
		fmt.Fprintf(w, "    %s: ERROR: %v\n", r.name, r.err)
	}
}

func (t *table) passed() int {
	n := 0
	for _, r := range t.all {
		if r.passed() {
			n++
		}
	}
	return n
}

var widths = []int{22, 14, 13, 13, 5, 15, 16}

func (t *table) line(cells []string, verdict string) {
	for i, c := range cells {
		if i == 0 {
			fmt.Fprintf(t.out, "%-*s", widths[i], c)
		} else {
			fmt.Fprintf(t.out, "%*s", widths[i], c)
		}
	}
	fmt.Fprintln(t.out, "  "+verdict)
}

func listFaults(out io.Writer, all []fault, controls []control) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\n", f.name, f.about)
	}
	fmt.Fprintln(w, "\t")
	for _, c := range controls {
		fmt.Fprintf(w, "control %s\t%s\n", c.name, c.about)
	}
	return w.Flush()
}
