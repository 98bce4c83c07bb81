package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	limit := flag.Int64("limit", 20_000_000, "give up on a world after this many `STATES`; each needs about 1 kB of memory")
	only := flag.String("scope", "", "explore only the world of this `NAME`")
	traces := flag.Bool("traces", false, "print how each missing rule breaks a guarantee, step by step")
	list := flag.Bool("list", false, "list the worlds and the rules")
	flag.Parse()

	if *list {
		for _, s := range worlds() {
			fmt.Printf("%-20s %s\n", s.name, s.doc)
		}
		for _, r := range allRules() {
			fmt.Printf("rule               %s (%s)\n", r.name, r.scope)
		}

		return
	}
	if err := explore(os.Stdout, *only, *limit, *traces); err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(1)
	}
}

// explore searches all worlds, then each rule's world without the rule. It returns an error if a guarantee is broken
// with all rules on, if a world is too large for the limit, or if no guarantee is broken without a rule.
func explore(out io.Writer, only string, limit int64, traces bool) error {
	var failures []string
	fail := func(format string, values ...any) { failures = append(failures, fmt.Sprintf(format, values...)) }

	var states, steps int64
	for _, s := range worlds() {
		if only != "" && only != s.name {
			continue
		}
		start := time.Now()
		r := search(s.first(), limit, progress(s.name))
		clearLine()
		states, steps = states+r.states, steps+r.steps

		switch {
		case r.violation != "":
			fmt.Fprintf(out, "%-20s VIOLATED: %s\n", s.name, r.violation)
			printTrace(out, r.trace)
			fail("%s: %s", s.name, r.violation)
		case !r.whole:
			fmt.Fprintf(out, "%-20s NOT WHOLE after %d states\n", s.name, r.states)
			fail("%s has more than %d states: raise -limit", s.name, limit)
		default:
			fmt.Fprintf(out, "%-20s %9d states %9d steps, up to %2d deep, no violation   %6.1f s   %s\n",
				s.name, r.states, r.steps, r.depth, time.Since(start).Seconds(), s.doc)
		}
	}

	for _, rule := range allRules() {
		if only != "" && only != rule.scope {
			continue
		}
		r := search(rule.first(), limit, progress("without: "+rule.name))
		clearLine()

		if r.violation == "" {
			fmt.Fprintf(out, "without: %-64s NOT MISSED in %s\n", rule.name, rule.scope)
			fail("no state of %s needs the rule %q", rule.scope, rule.name)
			continue
		}
		fmt.Fprintf(out, "without: %-64s broken in %2d steps (%s)\n", rule.name, len(r.trace), rule.scope)
		if traces {
			printTrace(out, r.trace)
			fmt.Fprintf(out, "      => %s\n", r.violation)
		}
	}

	if states == 0 {
		return fmt.Errorf("no world is called %q: see -list", only)
	}
	fmt.Fprintf(out, "RESULT explore.states %d\nRESULT explore.steps %d\nRESULT explore.violations %d\n", states, steps, len(failures))
	if failures != nil {
		return fmt.Errorf("%s", strings.Join(failures, "\n"))
	}

	return nil
}

func printTrace(out io.Writer, trace []step) {
	for i, s := range trace {
		fmt.Fprintf(out, "    %3d. %s\n", i+1, s)
	}
}

// String returns the form that traces print.
func (s step) String() string {
	var b strings.Builder
	if s.pod >= 0 {
		fmt.Fprintf(&b, "pod %d: ", s.pod)
	}
	b.WriteString(s.what)
	if s.item >= 0 && s.pod < 0 {
		fmt.Fprintf(&b, " (%d)", s.item)
	}

	return b.String()
}

// progress shows the progress of a search on a terminal.
func progress(name string) func(depth int, states int64, width int) {
	if !onTerminal() {
		return nil
	}

	return func(depth int, states int64, width int) {
		clearLine()
		fmt.Fprintf(os.Stderr, "%s: %d states, %d deep, %d to go on from", name, states, depth, width)
	}
}

func clearLine() {
	if onTerminal() {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
}

func onTerminal() bool {
	info, err := os.Stderr.Stat()

	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
