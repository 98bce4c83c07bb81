//go:build race

package demotest

// buildFlags make an example's own build look for races where the tests do.
var buildFlags = []string{"-race"}
