package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func reportCommand(o *options) *cobra.Command {
	var root string
	c := &cobra.Command{
		Use:   "report FILE...",
		Short: "put files of -json together; print or draw them, or write the documentation's figures",
		Long: `Reads files that -json has written and puts them together: of a measurement that is in several of them, the last
counts. Prints the tables, and writes what -json, -markdown and -plot ask for. -docs writes the figures of a checkout:
docs/performance.json, and from it docs/performance.md, its pictures, and a part of README.md.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			all, err := mergeRuns(files)
			if err == nil {
				err = o.write(all)
			}
			if err == nil && root != "" {
				err = writeDocs(root, all)
			}
			if err != nil {
				return fmt.Errorf("report: %w", err)
			}
			if root != "" {
				return nil
			}

			return all.print(cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&root, "docs", "", "write the documentation's figures in the checkout at `DIR`, in place of printing")
	return c
}
