//go:build !unix

package demo

import (
	"errors"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// CanFreeze reports whether Freeze works on this system.
const CanFreeze = false

// Freeze returns an error: it needs Unix.
func (*Process) Freeze() error { return errors.ErrUnsupported }

// Thaw returns an error: it needs Unix.
func (*Process) Thaw() error { return errors.ErrUnsupported }
