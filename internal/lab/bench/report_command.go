package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func reportCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "report FILE...",
		Short: "put files of -json together, and print or draw them",
		Long: `Reads files that -json has written and puts them together: of a measurement that is in several of them, the last
counts. Prints the tables, and writes what -json, -markdown and -plot ask for.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			all, err := mergeRuns(files)
			if err == nil {
				err = o.write(all, all)
			}
			if err != nil {
				return fmt.Errorf("report: %w", err)
			}
			return all.print(cmd.OutOrStdout())
		},
	}
}
