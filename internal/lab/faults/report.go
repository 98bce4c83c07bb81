package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// readShape is that of rows about caches.
var readShape = &shape{
	names:  []string{"fault", "reads checked", "stale within", "stale beyond", "lost", "false confirms", "Live again (ms)"},
	widths: []int{24, 14, 13, 13, 5, 15, 16},
}

func (r result) cells() []string {
	switch {
	case r.lock != nil:
		return r.lock.cells(r)
	case r.gate != nil:
		return r.gate.cells(r)
	}
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

// shape is how the rows of one kind stand in the table.
type shape struct {
	names  []string
	widths []int
}

func (r result) shape() *shape {
	switch {
	case r.lock != nil:
		return lockShape
	case r.gate != nil:
		return gateShape
	}
	return readShape
}

// head writes the head that a row needs and the one before it has not written.
func (t *table) head(r result) {
	n := len(t.all)
	if n > 0 && t.all[n-1].shape() == r.shape() {
		return
	}
	if n > 0 {
		fmt.Fprintln(t.out)
	}

	names := r.shape().names
	if t.markdown {
		fmt.Fprintln(t.out, "| "+strings.Join(names, " | ")+" |")
		fmt.Fprintln(t.out, "|---|"+strings.Repeat("--:|", len(names)-1))
		return
	}

	t.line(names, "", r.shape())
}

func (t *table) add(r result) {
	t.head(r)
	t.all = append(t.all, r)
	if t.markdown {
		fmt.Fprintln(t.out, "| "+strings.Join(r.cells(), " | ")+" |")
	} else {
		verdict := fmt.Sprintf("ok, %.1f s", r.took.Seconds())
		if !r.passed() {
			verdict = "FAILED"
		}
		t.line(r.cells(), verdict, r.shape())
	}
}

// details is what a row has to say besides its figures.
func (t *table) details(w io.Writer, r result) {
	for _, n := range r.notes {
		fmt.Fprintf(w, "    %s: %s\n", r.name, n)
	}
	if r.shape() == readShape {
		fmt.Fprintf(w, "    %s: oldest stale read %v\n", r.name, r.tally.worst.Round(time.Millisecond))
	}
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

func (t *table) line(cells []string, verdict string, s *shape) {
	widths := s.widths
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
