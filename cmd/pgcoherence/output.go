package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// printJSON writes v, indented for people where they look at it.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	if a.isTerminal() {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// table writes rows under a heading, in columns.
func (a *app) table(heading string, rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// note tells a person what happens; it stays out of what a program reads.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.errOut, format+"\n", args...) }

func (a *app) isTerminal() bool {
	f, ok := a.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readsTerminal reports whether a person can type into what the program reads.
func (a *app) readsTerminal() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

type colour string

const (
	plain  colour = ""
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	blue   colour = "34"
	faint  colour = "2"
)

// paint colours text where there is a terminal to see it.
func (a *app) paint(c colour, text string) string {
	if c == plain || a.noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !a.isTerminal() {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// confirmed asks before something is destroyed. Without a terminal it takes --yes.
func (a *app) confirmed(question string) error {
	if a.yes {
		return nil
	}
	if !a.readsTerminal() {
		return usageError("%s Say --yes to do it.", question)
	}
	fmt.Fprintf(a.errOut, "%s [y/N] ", question)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if line = strings.ToLower(strings.TrimSpace(line)); line != "y" && line != "yes" {
		return exitCode{exitFailed, "not done"}
	}
	return nil
}

// span writes a duration for people.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// printable keeps what others wrote into the database from steering a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, text)
}

func itoa(n int) string { return fmt.Sprint(n) }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
