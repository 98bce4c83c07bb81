//go:build !unix

package demo

import (
	"errors"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// CanFreeze says whether processes can be stopped in their tracks here.
const CanFreeze = false

// Freeze stops a process in its tracks where there is a Unix.
func (*Process) Freeze() error { return errors.ErrUnsupported }

// Thaw lets a frozen process go on.
func (*Process) Thaw() error { return errors.ErrUnsupported }
