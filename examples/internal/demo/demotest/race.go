//go:build race

package demotest

// buildFlags enables the race detector in the example if the tests use it.
var buildFlags = []string{"-race"}
