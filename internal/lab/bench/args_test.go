package main

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestDoubleDashes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want []string }{
		"nothing":           {[]string{}, []string{}},
		"behind":            {[]string{"write", "-short", "-json", "f"}, []string{"write", "--short", "--json", "f"}},
		"before":            {[]string{"-json", "f", "-short", "write"}, []string{"--json", "f", "--short", "write"}},
		"with a value":      {[]string{"delay", "-rate=5", "-json=f"}, []string{"delay", "--rate=5", "--json=f"}},
		"two already":       {[]string{"write", "--short"}, []string{"write", "--short"}},
		"one letter":        {[]string{"-h"}, []string{"-h"}},
		"help":              {[]string{"write", "-help"}, []string{"write", "--help"}},
		"unknown":           {[]string{"write", "-shorter"}, []string{"write", "-shorter"}},
		"behind two dashes": {[]string{"write", "--", "-short"}, []string{"write", "--", "-short"}},
		"a file called -":   {[]string{"write", "-json", "-"}, []string{"write", "--json", "-"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := &cobra.Command{Use: "bench"}
			root.PersistentFlags().Bool("short", false, "")
			root.PersistentFlags().String("json", "", "")
			delay := &cobra.Command{Use: "delay"}
			delay.Flags().Int("rate", 0, "")
			root.AddCommand(&cobra.Command{Use: "write"}, delay)
			require.Equal(t, tc.want, doubleDashes(root, tc.in))
		})
	}
}

func TestFlagsOnBothSidesOfTheCommand(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"behind":  {"write", "-short", "-json", "f"},
		"before":  {"-short", "-json", "f", "write"},
		"around":  {"-json", "f", "write", "-short"},
		"doubled": {"--json=f", "write", "--short"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o options
			ran := false
			root := newRoot(&o)
			root.AddCommand(&cobra.Command{Use: "write", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) { ran = true }})
			root.SetArgs(doubleDashes(root, args))
			require.NoError(t, root.Execute())
			require.True(t, ran)
			require.Equal(t, options{short: true, json: "f"}, o)
		})
	}
}
