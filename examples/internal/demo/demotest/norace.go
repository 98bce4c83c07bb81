//go:build !race

package demotest

var buildFlags []string
