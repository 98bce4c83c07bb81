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
)

func allCommand(o *options) *cobra.Command {
	var only, without []string
	c := &cobra.Command{
		Use:   "all",
		Short: "every measurement, one after the other, and one table at the end",
		Long: `Every measurement, one after the other. What cannot run here is named and the others go on; the exit code is then 1.
With -json the file is written anew after each measurement, so that nothing is lost if the run is interrupted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := chosen(only, without)
			if err != nil {
				return fmt.Errorf("all: %w", err)
			}
			return measureAll(cmd, o, names)
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "`NAMES` of the measurements to run, with commas between")
	c.Flags().StringSliceVar(&without, "without", nil, "`NAMES` of the measurements to leave out")
	return c
}

// chosen are the names of the measurements to run, in the order of bench all.
func chosen(only, without []string) (names []string, err error) {
	var known []string
	for _, c := range measurements(new(options)) {
		known = append(known, c.Name())
	}

	for _, name := range slices.Concat(only, without) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no measurement is called %q: there are %s", name, strings.Join(known, ", "))
		}
	}

	for _, name := range known {
		if (len(only) == 0 || slices.Contains(only, name)) && !slices.Contains(without, name) {
			names = append(names, name)
		}
	}

	if len(names) == 0 {
		return nil, errors.New("no measurement is left")
	}

	return names, nil
}

func measureAll(cmd *cobra.Command, o *options, names []string) error {
	ctx := cmd.Context()
	all := &run{Command: asTyped(cmd), Machine: readMachine()}
	p := startProgress(os.Stderr, names, o.short)
	var failures []error
	for _, name := range names {
		p.begin(name)
		begin := time.Now()
		r, typed, err := measureOne(ctx, o, name)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}

		all.take(ctx, r, typed, begin)
		if o.json != "" {
			failures = append(failures, writeJSON(o.json, all))
		}
	}
	p.stop()

	if len(all.Reports) > 0 {
		failures = append(failures, o.write(all), all.printWhole(cmd.OutOrStdout()))
	}
	return errors.Join(failures...)
}

// measureOne runs a measurement with the defaults of its flags. It also returns the command that does so.
func measureOne(ctx context.Context, o *options, name string) (taken *report, typed string, err error) {
	inner := &options{short: o.short}
	for _, c := range measurements(inner) {
		if c.Name() == name {
			c.SetContext(ctx)
			err = c.RunE(c, nil)
		}
	}
	if err == nil && inner.kept == nil {
		err = errors.New("no report")
	}

	typed = "bench " + name
	if o.short {
		typed += " -short"
	}

	return inner.kept, typed, err
}

// print writes the table of the one report, or all of them.
func (a *run) print(out io.Writer) error {
	if len(a.Reports) == 1 {
		return a.Reports[0].print(out)
	}
	return a.printWhole(out)
}

// printWhole writes the tables of all reports, and then all results in one table.
func (a *run) printWhole(out io.Writer) error {
	for _, r := range a.Reports {
		if _, err := fmt.Fprintf(out, "\n== %s (%.0f s)\n\n", r.Command, r.Seconds); err != nil {
			return err
		}
		if err := r.print(out); err != nil {
			return err
		}
	}

	if _, err := fmt.Fprintf(out, "\n== all results: %s\n\n", a.describe()); err != nil {
		return err
	}
	var rows [][]string
	for _, r := range a.Reports {
		for _, one := range r.Results {
			rows = append(rows, []string{r.Command, one.Name, number(one.Value)})
		}
	}
	return printTable(out, rows)
}
