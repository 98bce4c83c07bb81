//go:build !linux

package main

import "errors"

var errNoMount = errors.New("no tmpfs on this platform")

func mountSmall(string, string, int) error { return errNoMount }

func unmount(string) error { return errNoMount }
