//go:build !unix

package main

import (
	"errors"
	"syscall"
)

func workerAttributes() *syscall.SysProcAttr { return nil }

const canStop = false

func (*process) freeze() error { return errors.ErrUnsupported }

func (*process) thaw() error { return errors.ErrUnsupported }
