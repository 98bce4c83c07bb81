//go:build race

package main

// buildFlags make the example's own build look for races where the tests do.
var buildFlags = []string{"-race"}
