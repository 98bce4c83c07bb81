package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options are what all commands take.
type options struct {
	short    bool   // measure for a shorter time
	json     string // file for the figures, empty for none
	markdown string // file for the tables, empty for none
	plot     string // directory for the charts, empty for none

	cpu  string  // file for a profile of this process, empty for none
	kept *report // of the measurement that has just ended
}

// keep is how a measurement passes on its report.
func (o *options) keep(r *report) error {
	o.kept = r
	return nil
}

// alone makes a measurement a command of its own: with a progress bar, and with the output that was asked for.
func (o *options) alone(c *cobra.Command) *cobra.Command {
	measure := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p := startProgress(os.Stderr, []string{cmd.Name()}, o.short)
		p.begin(cmd.Name())
		begin := time.Now()
		err := measure(cmd, args)
		p.stop()

		if err != nil {
			return err
		}

		typed := asTyped(cmd)
		all := &run{Command: typed, Machine: readMachine()}
		all.take(cmd.Context(), o.kept, typed, begin)
		return o.publish(cmd.OutOrStdout(), all)
	}
	return c
}

// notMeasured are the flags that say where to put figures, and do not change them.
var notMeasured = []string{"json", "markdown", "plot", "cpuprofile"}

// asTyped is the command that measures the same again.
func asTyped(c *cobra.Command) string {
	words := []string{c.CommandPath()}
	c.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains(notMeasured, f.Name) {
			return
		}

		words = append(words, "-"+f.Name)
		if f.Value.Type() != "bool" {
			words = append(words, strings.Trim(f.Value.String(), "[]"))
		}
	})

	return strings.Join(words, " ")
}

// take adds the report of a measurement that has just ended.
func (a *run) take(ctx context.Context, r *report, typed string, begin time.Time) {
	if load := machineLoad(); load != "" { // of others, too: on a busy machine times mean little
		r.Counts[loadCount] = load
	}
	r.Typed = typed
	r.Seconds = time.Since(begin).Round(100 * time.Millisecond).Seconds()

	a.Reports = append(a.Reports, r)
	a.Date = time.Now().UTC().Truncate(time.Second)
	a.Versions = readVersions(ctx, a.Reports)
}

// publish prints tables and results, and writes the files that were asked for.
// The files come first: a run is long, and its output may be a pipe that is
// closed by now.
func (o *options) publish(out io.Writer, all *run) error {
	return errors.Join(o.write(all), all.print(out))
}

// write writes the files that were asked for.
func (o *options) write(all *run) error {
	if o.json != "" {
		if err := writeJSON(o.json, all); err != nil {
			return err
		}
	}

	if o.markdown != "" {
		if err := os.WriteFile(o.markdown, []byte(all.markdown()), 0o644); err != nil {
			return fmt.Errorf("markdown: %w", err)
		}
	}

	if o.plot != "" {
		return all.plot(o.plot)
	}

	return nil
}
