package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// doubleDashes turns -short, as the go command's users write it, into --short,
// which is all that pflag understands. Only whole names of flags are touched,
// and nothing behind --.
func doubleDashes(root *cobra.Command, args []string) []string {
	out := make([]string, len(args))
	copy(out, args)

	for i, arg := range out {
		if arg == "--" {
			break
		}

		single, ok := strings.CutPrefix(arg, "-")
		if !ok || strings.HasPrefix(single, "-") {
			continue
		}
		if name, _, _ := strings.Cut(single, "="); isFlag(root, name) {
			out[i] = "-" + arg
		}
	}

	return out
}

// isFlag reports whether the command or one below it has a flag of this name.
func isFlag(c *cobra.Command, name string) bool {
	if len(name) > 1 && (name == "help" || c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil) {
		return true
	}
	for _, sub := range c.Commands() {
		if isFlag(sub, name) {
			return true
		}
	}
	return false
}

// slug is a name as a part of a result's name: go_redis_cache.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "_")
}
