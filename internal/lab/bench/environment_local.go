package main

import (
	"runtime"
	"time"
)

// localEnvironment is that of a measurement without a Postgres; kind says what there is instead.
func localEnvironment(kind string) environment {
	return environment{
		Postgres: "none", Kind: kind, Settings: map[string]string{}, CPUs: runtime.NumCPU(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Date: time.Now().UTC().Truncate(time.Second),
	}
}
