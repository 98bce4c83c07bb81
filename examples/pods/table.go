package main

import (
	"fmt"
	"io"
	"time"
)

// table is printed at the end of the story: a line per chapter, and their sum.
type table struct {
	pods []string
	rows []*tally
}

// maxColumns is the number of pods for which a line has room. More pods share one column.
const maxColumns = 6

// columns returns the longest times behind, one per column.
func (t *table) columns(c counts) (names []string, behind []time.Duration) {
	var longest time.Duration
	for _, name := range t.pods {
		names = append(names, name)
		behind = append(behind, c.behind[name])
		longest = max(longest, c.behind[name])
	}
	if len(names) > maxColumns {
		return []string{"any pod"}, []time.Duration{longest}
	}
	return names, behind
}

// write prints the table. "Behind" is the longest time after a commit at which a pod still served the previous version.
func (t *table) write(w io.Writer) {
	width := len("total")
	for _, row := range t.rows {
		width = max(width, len(row.title))
	}

	names, _ := t.columns(counts{})
	fmt.Fprintf(w, "%-*s  %-*s%8s %8s %8s %8s %8s\n", width, "", 9*len(names), "ms behind", "reads", "from", "stale in", "stale", "events")
	fmt.Fprintf(w, "%-*s  ", width, "what happened")

	for _, name := range names {
		fmt.Fprintf(w, "%7s  ", name)
	}

	fmt.Fprintf(w, "%8s %8s %8s %8s %8s\n", "checked", "caches", "bound", "beyond", "lost")

	sum := counts{behind: map[string]time.Duration{}}
	for _, row := range t.rows {
		c := row.snapshot()
		t.line(w, width, row.title, c)
		sum.add(c)
	}

	t.line(w, width, "total", sum)
}

func (t *table) line(w io.Writer, width int, title string, c counts) {
	fmt.Fprintf(w, "%-*s  ", width, title)
	_, behind := t.columns(c)
	for _, d := range behind {
		fmt.Fprintf(w, "%7.1f  ", float64(d)/float64(time.Millisecond))
	}
	fmt.Fprintf(w, "%8d %8d %8d %8d %8d\n", c.reads, c.cached, c.stale, c.beyond+c.impossible, c.lost)
}

func (c *counts) add(other counts) {
	c.reads += other.reads
	c.cached += other.cached
	c.stale += other.stale
	c.beyond += other.beyond
	c.impossible += other.impossible
	c.lost += other.lost
	for pod, d := range other.behind {
		c.behind[pod] = max(c.behind[pod], d)
	}
}
