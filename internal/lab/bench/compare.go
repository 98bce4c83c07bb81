package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// errSlower has an exit code of its own.
var errSlower = errors.New("slower beyond noise")

// defaultThreshold is by how much of itself a median has to get worse to count.
const defaultThreshold = 0.08

func compareCommand() *cobra.Command {
	c := comparison{threshold: defaultThreshold}
	command := &cobra.Command{
		Use:   "compare OLD.json[,MORE.json...] NEW.json[,MORE.json...]",
		Short: "print what got slower beyond noise; the exit code is then 2",
		Long: `Compares the library's own figures of two sides. A figure got slower if its median is worse by more than -threshold and
the middle halves of the rounds of both sides do not overlap. Ratios are compared with one run on each side: they were
taken within a round, so that a busy machine weighs on both of their parts. Times and rates need two runs or more on each
side, best in turn on one machine, and every run of one side has to be worse than every run of the other.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if c.old, err = readRuns(args[0]); err == nil {
				c.now, err = readRuns(args[1])
			}
			if err != nil {
				return fmt.Errorf("compare: %w", err)
			}
			if err := c.print(cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("compare: %w", err)
			}

			return nil
		},
	}
	command.Flags().Float64Var(&c.threshold, "threshold", c.threshold, "`PART` of itself by which a median has to be worse")
	return command
}

func readRuns(files string) (runs []*run, err error) {
	for _, file := range strings.Split(files, ",") {
		one, err := readRun(file)
		if err != nil {
			return nil, err
		}
		runs = append(runs, one)
	}
	return runs, nil
}

// comparison is of the runs before a change with those after it.
type comparison struct {
	old, now  []*run
	threshold float64
}

// change is that of one figure.
type change struct {
	name, unit string
	old, now   summary
	worse      float64 // part of itself; negative: better
	verdict    string
}

// Verdicts.
const (
	slower = "slower"
	faster = "faster"
	within = "" // noise
)

// print writes what changed, and returns errSlower if some of it got slower.
func (c *comparison) print(out io.Writer) error {
	changes, compared := c.changes()
	if compared == 0 {
		return errors.New("the sides have no figure in common that can be compared")
	}

	rows := [][]string{{"figure", "before", "after", "", ""}}
	var worse []string
	for _, one := range changes {
		if one.verdict == within {
			continue
		}
		rows = append(rows, []string{
			one.name + " " + one.unit, one.old.String(), one.now.String(), fmt.Sprintf("%+.0f %%", 100*one.worse), one.verdict,
		})
		if one.verdict == slower {
			worse = append(worse, one.name)
		}
	}
	if len(rows) > 1 {
		if err := printTable(out, rows); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(out, "%d figures compared, %d slower, %d faster\n", compared, len(worse), len(rows)-1-len(worse)); err != nil {
		return err
	}
	if len(worse) > 0 {
		return fmt.Errorf("%w: %s", errSlower, strings.Join(worse, ", "))
	}
	return nil
}

// changes are those of the figures that both sides have, in the order of the new side.
func (c *comparison) changes() (changes []change, compared int) {
	for _, r := range c.now[0].Reports {
		for _, f := range r.Figures {
			sign := direction(f)
			if sign == 0 || !c.steady(f) {
				continue
			}

			old, now := collect(c.old, f.Name), collect(c.now, f.Name)
			if len(old) < len(c.old) || len(now) < len(c.now) {
				continue
			}

			compared++
			changes = append(changes, c.judge(f, sign, old, now))
		}
	}
	return changes, compared
}

// steady reports whether a figure can be told from noise with so many runs.
func (c *comparison) steady(f figure) bool {
	return f.Unit == "ratio" || (len(c.old) > 1 && len(c.now) > 1)
}

// collect is a figure of all runs of a side.
func collect(runs []*run, name string) (found []figure) {
	for _, one := range runs {
		if f, ok := one.figure(name); ok {
			found = append(found, f)
		}
	}
	return found
}

// judge turns what is better when it is higher around, so that more is always worse.
func (c *comparison) judge(f figure, sign float64, old, now []figure) change {
	rounds := func(figures []figure) (all, medians []float64) {
		for _, one := range figures {
			medians = append(medians, sign*one.Value)
			for _, v := range one.Rounds {
				all = append(all, sign*v)
			}
		}
		if len(all) == 0 {
			all = medians
		}
		return all, medians
	}
	oldAll, oldMedians := rounds(old)
	nowAll, nowMedians := rounds(now)
	before, after := median(oldMedians), median(nowMedians)
	one := change{name: f.Name, unit: f.Unit, old: merged(old), now: merged(now)}
	if before != 0 {
		one.worse = (after - before) / math.Abs(before)
	}

	switch {
	case one.worse > c.threshold && percentile(nowAll, 25) > percentile(oldAll, 75) && slices.Min(nowMedians) > slices.Max(oldMedians):
		one.verdict = slower
	case one.worse < -c.threshold && percentile(nowAll, 75) < percentile(oldAll, 25) && slices.Max(nowMedians) < slices.Min(oldMedians):
		one.verdict = faster
	}
	return one
}

// merged is the median of the runs, and the whole spread.
func merged(figures []figure) summary {
	var values []float64
	s := figures[0].summary
	for _, f := range figures {
		values = append(values, f.Value)
		s.Min, s.Max = min(s.Min, f.Min), max(s.Max, f.Max)
	}
	s.Value = median(values)
	return s
}

// direction is 1 for figures that are better when they are lower, -1 for those
// that are better when they are higher, and 0 for those of peers, which nobody
// here can make faster.
func direction(f figure) float64 {
	switch f.Unit {
	case "ratio":
		if f.Name == "session.ratio.scsstore" {
			return 1 // two ways of ours
		}

		for _, prefix := range []string{"write.", "lock.ratio", "ratio.", "session.ratio"} {
			if strings.HasPrefix(f.Name, prefix) {
				return -1 // our rate, or our hits, divided by another's; or another's time by ours
			}
		}

		return 1
	case "tx/s", "pairs/s", "%":
		if isOwn(f.Name) {
			return -1
		}
	case "ns", "µs", "ms", "bytes", "µs/commit", "processors":
		if isOwn(f.Name) {
			return 1
		}
	}
	return 0
}

// isOwn reports whether a figure is the library's and not a peer's.
func isOwn(name string) bool {
	for _, part := range strings.Split(name, ".") {
		if part == "ours" || part == "bus" || part == "lock" || part == "store" {
			return true
		}
	}
	return name == "write.server_us" || name == "write.client_us"
}
