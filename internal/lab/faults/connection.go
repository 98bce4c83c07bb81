package main

import (
	"runtime"
	"strings"
)

// calledByListener says for which of its two connections the bus calls Config.Connect. The bus does not tell, and after
// a fault they come back in any order, so the call stack has to.
func calledByListener() bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "/bus.(*listener).connect") {
			return true
		}
		if !more {
			return false
		}
	}
}
