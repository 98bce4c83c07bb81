//go:build unix

package demo

import "syscall"

// attributes put a child into a process group of its own, so that Ctrl-C reaches the parent alone and the parent ends
// its children in order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// CanFreeze says whether processes can be stopped in their tracks here.
const CanFreeze = true

// Freeze stops a process in its tracks, as a paused virtual machine would be.
func (p *Process) Freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
