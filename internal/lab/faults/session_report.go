package main

import (
	"fmt"
	"strconv"
	"strings"
)

// gateResult is what came of a row about sessions.
type gateResult struct{ tally sessionTally }

// gateShape is that of rows about sessions. Each count stands beside how often it could have been one.
var gateShape = &shape{
	names: []string{
		"fault", "answers", "in within", "in beyond", "back to life", "late logins", "false confirms", "saves lost", "another's",
		"overdue", "old tokens", "taken twice", "leaks", "refused", "in again (ms)",
	},
	widths: []int{27, 8, 10, 10, 13, 12, 15, 11, 10, 8, 11, 12, 7, 8, 14},
}

func (g *gateResult) violations() (n int64) {
	for _, c := range g.tally.counts() {
		n += c.bad
	}
	return n
}

// unchecked names what could not have been violated, because it never came to it.
func (g *gateResult) unchecked() string {
	var none []string
	for i, c := range g.tally.counts() {
		if c.of == 0 {
			none = append(none, gateShape.names[3+i])
		}
	}
	return strings.Join(none, ", ")
}

func (g *gateResult) cells(r result) []string {
	cells := []string{r.name, strconv.FormatInt(g.tally.answers, 10), strconv.FormatInt(g.tally.within, 10)}
	for _, c := range g.tally.counts() {
		cells = append(cells, c.String())
	}
	return append(cells, strconv.FormatInt(r.live.Milliseconds(), 10))
}

// String is what a control says of it.
func (g *gateResult) String() string {
	var some []string
	for i, c := range g.tally.counts() {
		some = append(some, fmt.Sprintf("%s %v", gateShape.names[3+i], c))
	}
	return strings.Join(some, ", ")
}
