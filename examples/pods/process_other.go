//go:build !unix

package main

import (
	"errors"
	"syscall"
)

func podAttributes() *syscall.SysProcAttr { return nil }

const canFreeze = false

func (*process) freeze() error { return errors.ErrUnsupported }

func (*process) thaw() error { return errors.ErrUnsupported }
