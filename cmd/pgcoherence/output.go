package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

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

// table writes rows under a heading, whose columns are parted by tabs. At a terminal that is too narrow for the columns
// each row becomes a few lines instead, one for a column.
func (a *app) table(heading string, rows [][]string) error {
	columns := strings.Split(heading, "\t")
	if width := a.columns(); width > 0 && tableWidth(columns, rows) > width {
		return a.records(columns, rows)
	}

	w := tabwriter.NewWriter(a.out, 0, 4, gap, ' ', 0)
	fmt.Fprintln(w, heading)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// gap is how many blanks are between columns.
const gap = 2

// records writes each row as lines of a heading and a value, with an empty line between rows.
func (a *app) records(columns []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 4, gap, ' ', 0)
	for i, row := range rows {
		if i > 0 {
			fmt.Fprintln(w)
		}
		for j, value := range row {
			if value != "" {
				fmt.Fprintln(w, columns[j]+"\t"+value)
			}
		}
	}
	return w.Flush()
}

// tableWidth is how wide the columns are together.
func tableWidth(columns []string, rows [][]string) (width int) {
	for j, name := range columns {
		widest := utf8.RuneCountInString(name)
		for _, row := range rows {
			widest = max(widest, utf8.RuneCountInString(escapes.ReplaceAllString(row[j], "")))
		}
		width += widest + gap
	}
	return width - gap
}

// escapes are the colours in a text, which take no room.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// note prints what happens for a person; it stays out of what a program reads.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.errOut, format+"\n", args...) }

// isTerminal reports whether the output goes to a person.
func (a *app) isTerminal() bool { return isTerminal(a.out) }

// readsTerminal reports whether a person can type into what the program reads.
func (a *app) readsTerminal() bool { return isTerminal(a.in) }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is the width of the terminal that the output goes to, 0 if there is none, or it has no width.
func (a *app) columns() int {
	f, ok := a.out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
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

// confirmed asks before something is destroyed, and waits for as long as a person takes. Without a terminal it needs --yes.
func (a *app) confirmed(ctx context.Context, question string) error {
	question = printable(question)
	if a.yes {
		return nil
	}
	if !a.readsTerminal() {
		return usageError("%s Say --yes to do it.", question)
	}
	fmt.Fprintf(a.errOut, "%s [y/N] ", question)

	// A read of a terminal cannot be cancelled: the goroutine ends with the program.
	type input struct {
		line string
		err  error
	}
	typed := make(chan input, 1)
	go func() {
		line, err := bufio.NewReader(a.in).ReadString('\n')
		typed <- input{line, err}
	}()

	select {
	case <-ctx.Done():
		fmt.Fprintln(a.errOut)
		return ctx.Err()
	case in := <-typed:
		if errors.Is(in.err, io.EOF) {
			fmt.Fprintln(a.errOut)
		} else if in.err != nil {
			return in.err
		}
		if line := strings.ToLower(strings.TrimSpace(in.line)); line != "y" && line != "yes" {
			return exitCode{exitFailed, "not done"}
		}
		return nil
	}
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
