package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// startProfile begins to profile this process, unless no file is named, and returns what ends it. The samples carry the name
// of the variant that was measured, where a command has several (go tool pprof -tagfocus variant=ours).
func startProfile(name string) (stop func() error, err error) {
	stop = func() error { return nil }
	if name == "" {
		return stop, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return stop, fmt.Errorf("cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return stop, errors.Join(fmt.Errorf("cpuprofile: %w", err), file.Close())
	}

	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
