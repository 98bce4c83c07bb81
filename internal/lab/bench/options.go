package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// options are what all commands take.
type options struct {
	short    bool   // measure for a shorter time
	json     string // file for the figures, empty for none
	markdown string // file for the tables, empty for none
	plot     string // directory for the charts, empty for none

	collect func(*report) // takes a report in place of publishing it; nil outside of bench all
	cpu     string        // file for a profile of this process, empty for none
}

// withProgress adds a progress bar to a measurement that runs alone.
func (o *options) withProgress(c *cobra.Command) *cobra.Command {
	measure := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p := startProgress(os.Stderr, []string{cmd.Name()}, o.short)
		defer p.stop()

		p.begin(cmd.Name())
		return measure(cmd, args)
	}
	return c
}

// publish prints the table and the results, and writes the files that were
// asked for. The files come first: a run is long, and its output may be a pipe
// that is closed by now.
func (o *options) publish(out io.Writer, r *report) error {
	if o.collect != nil {
		o.collect(r)
		return nil
	}
	return errors.Join(o.write(&run{Reports: []*report{r}}, r), r.print(out))
}

// write writes the files that were asked for; content is what goes into that of -json.
func (o *options) write(all *run, content any) error {
	if o.json != "" {
		if err := writeJSON(o.json, content); err != nil {
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
